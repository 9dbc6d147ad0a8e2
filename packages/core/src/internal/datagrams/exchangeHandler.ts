import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as DatagramSocket from "effect/socket/DatagramSocket"
import * as Tracer from "effect/Tracer"
import type { Datagram, Reply } from "../../DatagramListener.ts"
import { formatConnection } from "../../DrainReport.ts"
import type { Consumer } from "../accept/acceptQueue.ts"
import { logLine } from "../telemetry/logLine.ts"
import { attempt } from "../util/foreign.ts"
import { type Exchange, ReplyEffect, type Sent } from "./exchange.ts"
import type { ExchangeManager } from "./exchangeManager.ts"

/** A handler and what it runs with. */
export interface ExchangeRegistration {
  readonly handler: (datagram: Datagram, reply: Reply) => Effect.Effect<unknown, unknown, Scope.Scope>
  readonly context: Context.Context<never>
  readonly label: ((datagram: Datagram) => string) | undefined
}

/** How a registration takes part in the queue. */
export const exchangeConsumer = (manager: ExchangeManager, registration: ExchangeRegistration): Consumer<Exchange> => {
  // one for all: a datagram costs little more than its system calls
  const answered: Sent = (error, exchange) =>
    ended(manager, exchange, error === undefined ? Exit.void : Exit.fail(error))
  return { once: false, take: (exchange) => serveExchange(manager, exchange, registration, answered) }
}

/**
 * Runs a handler for a datagram. One that only replies needs no fiber; any other
 * has a fiber and a scope of its own, which belong to the listener and not to
 * the fiber that serves, so that a handler that will not end can be left behind.
 */
const serveExchange = (
  manager: ExchangeManager,
  exchange: Exchange,
  registration: ExchangeRegistration,
  answered: Sent
): void => {
  exchange.labelOf = registration.label
  manager.begin(exchange)
  const handling = handle(exchange, registration)
  if (handling instanceof ReplyEffect && handling.exchange === exchange) handling.post(answered)
  else runHandler(manager, exchange, registration.context, handling)
}

const handle = (
  exchange: Exchange,
  { handler }: ExchangeRegistration
): Effect.Effect<unknown, unknown, Scope.Scope> =>
  attempt<Effect.Effect<unknown, unknown, Scope.Scope>>(() => handler(exchange.datagram, exchange.reply), Effect.die)

const runHandler = (
  manager: ExchangeManager,
  exchange: Exchange,
  context: Context.Context<never>,
  handling: Effect.Effect<unknown, unknown, Scope.Scope>
): void => {
  exchange.handled = true
  const scope = Scope.makeUnsafe()
  const { span } = exchange
  const own = Context.add(
    span === undefined ? context : Context.add(context, Tracer.ParentSpan, span),
    Scope.Scope,
    scope
  )
  const work = Effect.withFiber((fiber) => {
    // known before it runs: it may close the listener
    exchange.fiber = fiber
    return handling
  })
  const program = Effect.onExitPrimitive(work, (exit) => Scope.closeUnsafe(scope, exit))
  Effect.runForkWith(own)(program).addObserver((exit) => ended(manager, exchange, exit))
}

const ended = (manager: ExchangeManager, exchange: Exchange, exit: Exit.Exit<unknown, unknown>): void => {
  if (Exit.isFailure(exit) && !exchange.cut) manager.runFork(logFailure(manager, exchange, exit.cause))
  manager.handled(exchange, exit)
}

const logFailure = (
  { name }: ExchangeManager,
  exchange: Exchange,
  cause: Cause.Cause<unknown>
): Effect.Effect<void> => {
  // any sender can have an answer that cannot be sent: that is no alarm
  const level = isSendFailure(cause) ? "Debug" : "Error"
  return logLine(Effect.logWithLevel(level)(`exchange handler failed on listener "${name}"`, cause), {
    event: "exchangeFailed",
    listener: name,
    exchange: formatConnection(exchange.describe())
  })
}

const isSendFailure = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.every((reason) => Cause.isFailReason(reason) && DatagramSocket.isDatagramSocketError(reason.error))

import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Tracer from "effect/Tracer"
import { type Connection, CurrentConnection } from "../../Connection.ts"
import { type EndReason, formatConnection } from "../../DrainReport.ts"
import { SecurityFailure } from "../../ListenerError.ts"
import type { LingerOptions } from "../../Transport.ts"
import type { Consumer } from "../accept/acceptQueue.ts"
import type { ConnectionImpl } from "./connection.ts"
import type { Life } from "./connectionManager.ts"
import type { IdleMode } from "./drainPolicy.ts"
import { handshake, isDone, isReady } from "./handshake.ts"

/** What a connection's end means: `ours` when the handler or the drain ended it. */
type Ending = "ours" | "peer" | "failed"

/**
 * How a handler, or the scope an accepted connection lives in, ended. Sockets
 * report every end as an error, the drain's own and the peer's included; only
 * what remains is a failure.
 */
const endingOf = (exit: Exit.Exit<unknown, unknown>): Ending => {
  if (Exit.isSuccess(exit)) return "ours"
  let ending: Ending = "ours"
  for (const reason of exit.cause.reasons) {
    if (Cause.isDieReason(reason)) return "failed"
    if (!Cause.isFailReason(reason)) continue
    if (!Socket.isSocketError(reason.error)) return "failed"
    switch (reason.error.reason._tag) {
      case "SocketCloseError":
        if (reason.error.reason.code !== 1001) ending = "peer"
        break
      case "SocketReadError":
      case "SocketWriteError":
        ending = "peer"
        break
      default:
        return "failed"
    }
  }
  return ending
}

/** The one reason a connection is counted under. */
const reasonOf = (connection: ConnectionImpl, ending: Ending): EndReason =>
  connection.cut
    ? "cut"
    : ending === "failed"
    ? "failed"
    : ending === "peer"
    ? "endedByPeer"
    : connection.hadWork
    ? "drained"
    : "idle"

const logFailure = (
  life: Life,
  connection: ConnectionImpl,
  exit: Exit.Failure<unknown, unknown>
): Effect.Effect<void> =>
  Effect.logError(`connection handler failed on listener "${life.name}"`, exit.cause).pipe(
    Effect.annotateLogs({
      event: "connectionFailed",
      listener: life.name,
      connection: formatConnection(connection.describe())
    })
  )

/** Anybody can send a port something that is no handshake: worth a line, not an alarm. */
const logHandshake = (life: Life, connection: ConnectionImpl, error: SecurityFailure): Effect.Effect<void> =>
  Effect.logInfo(`handshake failed on listener "${life.name}"`, error.detail).pipe(
    Effect.annotateLogs({
      event: "handshakeFailed",
      listener: life.name,
      connection: formatConnection(connection.describe())
    })
  )

const logEnd = (
  life: Life,
  connection: ConnectionImpl,
  exit: Exit.Failure<unknown, unknown>
): Effect.Effect<void> => {
  const error = Cause.squash(exit.cause)
  if (connection.step === "Handshake" && error instanceof SecurityFailure) return logHandshake(life, connection, error)
  // the failure of an accepted connection's scope is told to who owns that scope
  return connection.handled ? logFailure(life, connection, exit) : Effect.void
}

/**
 * The end of every connection: its scope has ended, now its transport does, and
 * then it is counted. A detached connection is another scope's to end.
 */
export const finish = (
  life: Life,
  connection: ConnectionImpl,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const ending = endingOf(exit)
    const failed = ending === "failed" && Exit.isFailure(exit) ? logEnd(life, connection, exit) : Effect.void
    if (connection.step === "Detached") return failed
    if (connection.step === "Ended") return Effect.andThen(failed, connection.transport.destroy)
    const linger = beginGoodbye(life, connection, exit, ending)
    const end = connection.cut ? connection.transport.destroy : connection.transport.goodbye(linger)
    return Effect.andThen(
      failed,
      Effect.onExit(end, () => Effect.sync(() => life.end(connection, reasonOf(connection, ending))))
    )
  })

/**
 * `finish` without waiting for it, where the transport can do that and there is
 * nothing to say: a connection that takes its leave needs no fiber, and there
 * is no effect to run.
 */
const finishOrLeave = (
  life: Life,
  connection: ConnectionImpl,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> | undefined => {
  const ending = endingOf(exit)
  const { fast } = connection
  if (fast?.goodbyeDetached === undefined || connection.step !== "Serving" || connection.cut || ending === "failed") {
    return finish(life, connection, exit)
  }
  const linger = beginGoodbye(life, connection, exit, ending)
  // nobody's handler any more, whoever ends it
  connection.handled = false
  fast.goodbyeDetached(linger, () => life.end(connection, reasonOf(connection, ending)))
  return undefined
}

const beginGoodbye = (
  life: Life,
  connection: ConnectionImpl,
  exit: Exit.Exit<unknown, unknown>,
  ending: Ending
): LingerOptions | "none" => {
  connection.step = "Goodbye"
  connection.lastActive = life.now()
  connection.release()
  const clean = Exit.isSuccess(exit) || (ending !== "failed" && !Cause.hasInterrupts(exit.cause))
  return clean ? life.linger() : "none"
}

/** A handler and what it runs with. */
export interface Registration {
  readonly handler: (connection: Connection) => Effect.Effect<unknown, unknown, Scope.Scope>
  readonly context: Context.Context<never>
  readonly idle: IdleMode
  /** What else the handler of one connection finds in its context. */
  readonly services: ((connection: Connection) => Context.Context<never>) | undefined
  readonly refuse: ((connection: Connection) => Effect.Effect<void>) | undefined
}

/**
 * Runs a handler over a connection: one fiber and one scope, then the goodbye in
 * the same fiber. The fiber belongs to nobody but its life, so that a handler
 * that will not end can be left behind. The connection is registered before the
 * fiber starts, because it starts to run at once.
 */
const serveConnection = (life: Life, connection: ConnectionImpl, registration: Registration): void => {
  connection.mode = registration.idle
  connection.handled = true
  const scope = Scope.makeUnsafe()
  const { span } = connection
  const traced = span === undefined
    ? registration.context
    : Context.add(registration.context, Tracer.ParentSpan, span)
  const own = Context.add(
    Context.add(traced, CurrentConnection, Option.some<Connection>(connection)),
    Scope.Scope,
    scope
  )
  const { handler, services } = registration
  const handle = () => {
    life.begin(connection)
    const handled = handler(connection)
    // asked for only now: what a transport has to offer may depend on its handshake
    return services === undefined ? handled : Effect.provideContext(handled, services(connection))
  }
  const work = Effect.withFiber((fiber) => {
    connection.fiber = fiber
    if (connection.cut) return Effect.interrupt
    return isReady(connection) ? handle() : Effect.andThen(handshake(life, connection), Effect.suspend(handle))
  })
  // watched from the fiber's first operation on: whenever it is cut, it finishes its connection
  const program = Effect.onExitPrimitive(work, (exit) => {
    const closing = Scope.closeUnsafe(scope, exit)
    if (closing === undefined || isDone(closing)) return finishOrLeave(life, connection, exit)
    return Effect.flatMap(
      Effect.exit(closing),
      (closed) =>
        finishOrLeave(life, connection, Exit.isFailure(closed) && Exit.isSuccess(exit) ? closed : exit) ?? Effect.void
    )
  })
  Effect.runForkWith(own)(program)
}

/** How one registration takes part in the accept queue. */
export const registrationConsumer = (life: Life, registration: Registration): Consumer<ConnectionImpl> => ({
  once: false,
  take: (connection) => serveConnection(life, connection, registration),
  refuse: registration.refuse === undefined
    ? undefined
    : (connection) => refuseWith(life, connection, registration.refuse!(connection))
})

/** Turns a connection away: in its protocol's words where there are some, with a FIN otherwise. */
export const refuse = (life: Life, connection: ConnectionImpl): void => {
  const by = life.queue.refuser()
  if (by?.refuse !== undefined) by.refuse(connection)
  else refuseWith(life, connection, Effect.void)
}

/** Says why, then ends the connection; not counted as served. */
export const refuseWith = (life: Life, connection: ConnectionImpl, words: Effect.Effect<void>): void => {
  connection.step = "Goodbye"
  life.connections.refusing.add(connection)
  const refused = () => {
    connection.step = "Ended"
    life.connections.refusing.delete(connection)
    life.notifyIfDrained()
  }
  const { fast, transport } = connection
  // those of a flood need no fiber
  if (isDone(words) && fast?.goodbyeDetached !== undefined) return fast.goodbyeDetached(life.linger(), refused)
  connection.handled = true
  // words go over a connection that is ready; a FIN needs none
  const said = isDone(words) || isReady(connection) ? words : Effect.andThen(handshake(life, connection), words)
  const program: Effect.Effect<void> = Effect.withFiber((fiber: Fiber.Fiber<unknown, unknown>) => {
    connection.fiber = fiber
    const words = Effect.interruptible(connection.cut ? Effect.interrupt : said)
    return Effect.ignoreCause(words, { log: "Warn", message: "refusing a connection failed" }).pipe(
      Effect.andThen(Effect.suspend(() => {
        connection.step = "Goodbye"
        return connection.cut ? transport.destroy : transport.goodbye(life.linger())
      })),
      Effect.onExit(() => Effect.sync(refused))
    )
  })
  life.runFork(program, { uninterruptible: true })
}

/**
 * Says no to a connection: in its protocol's words where there are some, with a
 * FIN otherwise. Refused connections are connections, and bounded as such.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { LingerOptions } from "../../../Transport.ts"
import type { LimitedLog } from "../../telemetry/limitedLog.ts"
import { call, effectOf } from "../../util/foreign.ts"
import type { LinkedList } from "../../util/linkedList.ts"
import type { Timers } from "../../util/timers.ts"
import type { ConnectionImpl } from "../connection.ts"
import { handshake, type HandshakeContext, isReady } from "./handshake.ts"

/** What a refusal needs of the manager of its connection. */
export interface RefusalContext extends HandshakeContext {
  readonly name: string
  readonly now: () => number
  readonly timers: Timers
  readonly log: LimitedLog
  readonly linger: () => LingerOptions
  readonly refusing: LinkedList<ConnectionImpl>
  /** A refused connection has ended. */
  readonly refusedEnded: (connection: ConnectionImpl) => void
  /** Ends a refused connection at once. */
  readonly cutRefused: (connection: ConnectionImpl) => void
}

/** Says no in the words of a protocol. */
export type Words = (connection: ConnectionImpl) => Effect.Effect<void>

/** How many are told at a time. Those beyond get a FIN that waits for nothing: telling them would cost what a limit saves. */
const mostTold = 256

/** How long, in milliseconds, a refused connection is kept for what it is told: a client that has just connected reads. */
const toldWithin = 5000

/** Says no, then ends the connection, which is not counted as served. */
export const refuseWith = (context: RefusalContext, connection: ConnectionImpl, words: Words | undefined): void => {
  if (connection.transition("refused") !== "Refuse") return
  context.refusing.add(connection)
  const few = context.refusing.size <= mostTold
  if (few && words !== undefined) return tell(context, connection, words)
  end(context, connection, few ? lingerOf(context) : "none")
}

const lingerOf = (context: RefusalContext): LingerOptions => {
  const { bytes, idle, total } = context.linger()
  return { bytes, idle, total: Duration.min(total, Duration.millis(toldWithin)) }
}

/** Without a fiber where the transport needs none: a flood has many. */
const end = (context: RefusalContext, connection: ConnectionImpl, linger: LingerOptions | "none"): void => {
  const { fast } = connection
  const ended = () => context.refusedEnded(connection)
  if (connection.transition("released") !== "Goodbye") return
  if (connection.detachesGoodbye) {
    return call(connection, "goodbyeDetached", () => fast?.goodbyeDetached?.(linger, ended), undefined)
  }
  context.runFork(Effect.onExit(connection.goodbye(linger), () => Effect.sync(ended)))
}

const tell = (context: RefusalContext, connection: ConnectionImpl, words: Words): void => {
  connection.handled = true
  const cancelLimit = context.timers.schedule(context.now() + toldWithin, () => context.cutRefused(connection))
  const said = effectOf("refuse", () => words(connection))
  const program: Effect.Effect<void> = Effect.withFiber((fiber: Fiber.Fiber<unknown, unknown>) => {
    connection.fiber = fiber
    // words can be sent only when the handshake is done
    const all = isReady(connection) ? said : Effect.andThen(handshake(context, connection), said)
    return Effect.catchCause(
      Effect.interruptible(connection.step === "Refusing" ? all : Effect.interrupt),
      (cause) =>
        context.log.line(
          "refusalFailed",
          () => Effect.logWarning(`refusing a connection failed on listener "${context.name}"`, cause)
        )
    ).pipe(
      Effect.andThen(Effect.suspend(() => {
        switch (connection.transition("released")) {
          case "Goodbye":
            return connection.goodbye(lingerOf(context))
          case "Destroy":
            return connection.destroy
          default:
            return Effect.void
        }
      })),
      Effect.onExit(() =>
        Effect.sync(() => {
          cancelLimit()
          context.refusedEnded(connection)
        })
      )
    )
  })
  context.runFork(program, { uninterruptible: true })
}

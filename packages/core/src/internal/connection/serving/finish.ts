/**
 * The end of a connection that a handler has had: its transport's goodbye, the
 * line in the log where it failed, and the one reason it is counted under.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Ending } from "../../../Connection.ts"
import { type EndReason, formatConnection } from "../../../DrainReport.ts"
import { SecurityFailure } from "../../../ListenerError.ts"
import type { LingerOptions } from "../../../Transport.ts"
import type { LimitedLog } from "../../telemetry/limitedLog.ts"
import { call } from "../../util/foreign.ts"
import type { HandshakeContext } from "../arriving/handshake.ts"
import type { ConnectionImpl } from "../connection.ts"
import { endingOf, reasonOf } from "./ending.ts"

/** What the end of a connection needs of its manager. */
export interface FinishContext extends HandshakeContext {
  readonly name: string
  readonly log: LimitedLog
  readonly linger: () => LingerOptions
  /** The linger of a connection that is told goodbye while it is idle. */
  readonly idleLinger: () => LingerOptions | "none"
  readonly mayStall: () => void
  /** A connection ended, for one reason. */
  readonly end: (connection: ConnectionImpl, reason: EndReason) => void
}

/**
 * The end of every connection: its scope has ended, now its transport does, and
 * then it is counted. A detached connection is another scope's to end.
 */
export const finish = (
  context: FinishContext,
  connection: ConnectionImpl,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const ending = endingOf(exit)
    const failed = ending === "failed" && Exit.isFailure(exit) ? logEnd(context, connection, exit) : Effect.void
    switch (connection.transition("released")) {
      case "Goodbye": {
        connection.release()
        const end = connection.goodbye(lingerAfter(context, connection, exit, ending))
        return Effect.andThen(
          failed,
          Effect.onExit(end, () => Effect.sync(() => context.end(connection, reasonOf(connection, ending))))
        )
      }
      case "Destroy":
        return Effect.andThen(failed, connection.destroy)
      default:
        return failed
    }
  })

/**
 * `finish` without waiting for it, where the transport can do that and there is
 * nothing to say: a detached goodbye needs no fiber, and there is no effect to
 * run.
 */
export const finishOrLeave = (
  context: FinishContext,
  connection: ConnectionImpl,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> | undefined => {
  const ending = endingOf(exit)
  const { fast } = connection
  if (!connection.detachesGoodbye || connection.step !== "Serving" || ending === "failed") {
    return finish(context, connection, exit)
  }
  connection.transition("released")
  connection.release()
  // whatever ends it now, there is no handler to interrupt
  connection.handled = false
  const linger = lingerAfter(context, connection, exit, ending)
  const done = () => context.end(connection, reasonOf(connection, ending))
  call(connection, "goodbyeDetached", () => fast?.goodbyeDetached?.(linger, done), undefined)
  return undefined
}

const lingerAfter = (
  context: FinishContext,
  connection: ConnectionImpl,
  exit: Exit.Exit<unknown, unknown>,
  ending: Ending
): LingerOptions | "none" => {
  context.mayStall()
  const clean = Exit.isSuccess(exit) || (ending !== "failed" && !Cause.hasInterrupts(exit.cause))
  return clean ? connection.rung === "Goodbye" ? context.idleLinger() : context.linger() : "none"
}

const logEnd = (
  context: FinishContext,
  connection: ConnectionImpl,
  exit: Exit.Failure<unknown, unknown>
): Effect.Effect<void> => {
  if (connection.broken) return Effect.void
  const error = Cause.squash(exit.cause)
  if (connection.step === "Handshake" && error instanceof SecurityFailure) {
    return logHandshake(context, connection, error)
  }
  // the failure of an accepted connection's scope is told to the owner of that scope
  return connection.handled ? logFailure(context, connection, exit) : Effect.void
}

const logFailure = (
  context: FinishContext,
  connection: ConnectionImpl,
  exit: Exit.Failure<unknown, unknown>
): Effect.Effect<void> =>
  context.log.line("connectionFailed", () =>
    Effect.annotateLogs(
      Effect.logError(`connection handler failed on listener "${context.name}"`, exit.cause),
      "connection",
      formatConnection(connection.describe())
    ))

/** Any client can send a port something that is no handshake: worth a line, not an alarm. */
const logHandshake = (
  context: FinishContext,
  connection: ConnectionImpl,
  error: SecurityFailure
): Effect.Effect<void> =>
  context.log.line("handshakeFailed", () =>
    Effect.annotateLogs(
      Effect.logInfo(`handshake failed on listener "${context.name}"`, error.detail),
      "connection",
      formatConnection(connection.describe())
    ))

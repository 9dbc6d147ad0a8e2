/**
 * A listener over the transport.
 */
import type { Connection } from "@effect-listener/core/Connection"
import type { DrainOptions } from "@effect-listener/core/Drain"
import type { DrainReport } from "@effect-listener/core/DrainReport"
import * as Listener from "@effect-listener/core/Listener"
import type { Transport } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import type { Subject } from "../subject.ts"
import { Broken, describe, orBroken, start, until, within } from "./expect.ts"

export interface Serving {
  readonly listener: Listener.Listener
  /** The lines that were begun to be worked on. */
  readonly executed: ReadonlyArray<string>
  /** Lets lines that begin with "hold" be answered. */
  readonly release: Effect.Effect<void>
}

export interface ServingOptions {
  readonly drain?: DrainOptions | undefined
  readonly idle?: "handler" | "pull" | "exchange" | undefined
  /** Answers a line itself, or leaves it to the others. */
  readonly answer?:
    | ((line: string, connection: Connection) => Effect.Effect<string | Uint8Array, unknown, Scope.Scope> | undefined)
    | undefined
}

/** Options under which an idle connection is ended at once and a silent peer costs little. */
export const quick: DrainOptions = {
  deadline: "10 seconds",
  idleGrace: 0,
  abortGrace: "1 second",
  linger: { idle: "200 millis" }
}

/** A listener that is aborted at the end, so that what a check has left open does not hold it up. */
export const listen = (
  transport: Transport,
  drain?: DrainOptions
): Effect.Effect<Listener.Listener, Broken, Scope.Scope> =>
  Effect.tap(
    within("listen", orBroken(Listener.listen(transport, { drain: { ...quick, ...drain } }), "listen")),
    (listener) => Effect.addFinalizer(() => listener.abort)
  )

/**
 * A listener that answers each line with itself, one exchange from its first
 * byte to its answer: a line that begins with "hold" only after `release`, and
 * one that ends with "last" as the last of its connection.
 */
export const serve = (subject: Subject, options: ServingOptions = {}): Effect.Effect<Serving, Broken, Scope.Scope> =>
  Effect.gen(function*() {
    const listener = yield* listen(subject.transport, options.drain)
    const executed: Array<string> = []
    let released = false
    const holding = new Set<() => void>()
    const hold = Effect.callback<void>((resume) => {
      if (released) return resume(Effect.void)
      const go = () => resume(Effect.void)
      holding.add(go)
      return Effect.sync(() => {
        holding.delete(go)
      })
    })
    const answer = (line: string, connection: Connection) => {
      executed.push(line)
      return options.answer?.(line, connection) ??
        (line.startsWith("hold") ? Effect.as(hold, line) : Effect.succeed(line))
    }
    const handler = Effect.fnUntraced(function*(connection: Connection) {
      const pull = yield* Socket.readerString(connection.socket)
      const writer = yield* connection.socket.writer
      let text = ""
      let endExchange: (() => void) | undefined
      while (true) {
        text += (yield* pull).join("")
        while (text !== "") {
          endExchange ??= connection.beginExchange(text.split("\n", 1)[0] ?? "")
          const at = text.indexOf("\n")
          if (at < 0) break
          const line = text.slice(0, at)
          text = text.slice(at + 1)
          const body = yield* answer(line, connection)
          yield* typeof body === "string" ? writer.write(`${body}\n`) : writer.write(body)
          endExchange()
          endExchange = undefined
          if (line.endsWith("last")) return
        }
      }
    })
    yield* Effect.forkScoped(Effect.ignore(Listener.serve(listener, handler, { idle: options.idle ?? "pull" })), {
      startImmediately: true
    })
    return {
      listener,
      executed,
      release: Effect.sync(() => {
        released = true
        for (const go of Array.from(holding)) go()
      })
    }
  })

/** Closes, and gives the report of it however it ended. */
export const close = (listener: Listener.Listener, millis = 12_000): Effect.Effect<DrainReport, Broken> =>
  within(
    "close",
    Effect.matchEffect(listener.close(), {
      onSuccess: Effect.succeed,
      onFailure: (error) =>
        (error._tag === "OperationTimedOut" || error._tag === "OperationAborted") && error.report !== undefined
          ? Effect.succeed(error.report)
          : Effect.fail(new Broken({ detail: `close failed: ${describe(error)}` }))
    }),
    millis
  )

/** Closes while clients do something, and gives the report. */
export const closing = <R>(
  listener: Listener.Listener,
  meanwhile: Effect.Effect<unknown, Broken, R>
): Effect.Effect<DrainReport, Broken, R> =>
  Effect.gen(function*() {
    const clients = yield* start(meanwhile)
    const report = yield* close(listener)
    yield* within("what clients do", Fiber.join(clients))
    return report
  })

/** Waits until a line that begins so is being worked on. */
export const untilExecuted = (serving: Serving, line: string): Effect.Effect<void, Broken> =>
  until(`"${line}" being worked on`, Effect.sync(() => serving.executed.includes(line)))

/** Waits until a close has come to where it waits for connections. */
export const untilDraining = (listener: Listener.Listener): Effect.Effect<void, Broken> =>
  within(
    "draining",
    listener.progress.pipe(Stream.takeUntil((progress) => progress.stage === "Draining"), Stream.runDrain)
  )

/** The connections of a report, without those reasons that nothing ended for. */
export const counts = ({ connections }: DrainReport): Record<string, number> =>
  Object.fromEntries(Object.entries(connections).filter(([, count]) => count > 0))

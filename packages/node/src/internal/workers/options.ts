/** The options of workers, checked, with every default filled in. */
import * as DurationOption from "@effect-listener/core/DurationOption"
import * as ListenerError from "@effect-listener/core/ListenerError"
import type * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import { randomBytes } from "node:crypto"
import * as Os from "node:os"
import { fileURLToPath } from "node:url"
import { inspect } from "node:util"
import type { Options, SocketOptions, WorkerFailed, WorkerPlace } from "../../NodeWorkers.ts"
import { withoutInspector } from "../handover/command.ts"

export interface Settings {
  readonly program: string
  readonly args: ReadonlyArray<string>
  readonly execArgv: ReadonlyArray<string>
  readonly cwd: string | undefined
  readonly env: (worker: WorkerPlace) => Record<string, string>
  readonly size: number
  readonly sockets: Record<string, SocketOptions>
  /** Milliseconds, like every time here. */
  readonly readyWithin: number
  readonly restart: Schedule.Schedule<unknown>
  readonly concurrency: number
  readonly deadline: number
  readonly abortGrace: number
  /** What TLS tickets of all workers are sealed with, 48 bytes in hexadecimal digits. */
  readonly ticketKeys: string | undefined
  /** Makes the error, whose class is public. */
  readonly failed: Failed
}

export type Failed = (fields: ConstructorParameters<typeof WorkerFailed>[0]) => WorkerFailed

/** From 200 ms, twice as long each time, to 30 s. */
const restart: Schedule.Schedule<unknown> = Schedule.min([
  Schedule.exponential("200 millis"),
  Schedule.spaced("30 seconds")
])

/** How long a worker is given that does not say how long it takes to start; Go's tableflip gives a minute. */
const readyWithin = 30_000

export const resolve = (options: Options, failed: Failed): Result.Result<Settings, ListenerError.InvalidArgument> =>
  Result.gen(function*() {
    const { sockets, workers = "cores" } = options
    const size = workers === "cores" ? Os.availableParallelism() : workers
    yield* check("workers", isCount(size), "is neither \"cores\" nor a whole number of at least 1", workers)
    const concurrency = options.replaceConcurrency ?? 1
    yield* check("replaceConcurrency", isCount(concurrency), "is no whole number of at least 1", concurrency)
    yield* check("sockets", Object.keys(sockets).length > 0, "names no socket", sockets)
    for (const name of Object.keys(sockets)) {
      yield* check("sockets", name !== "" && !name.includes(":"), "has a name that is empty or has a colon in it", name)
    }
    return {
      program: options.program instanceof URL ? fileURLToPath(options.program) : options.program,
      args: options.args ?? [],
      execArgv: options.execArgv ?? withoutInspector(process.execArgv),
      cwd: options.cwd,
      env: options.env ?? (() => ({})),
      size,
      sockets,
      readyWithin: yield* millis("readyWithin", options.readyWithin ?? readyWithin),
      restart: options.restart ?? restart,
      concurrency,
      deadline: yield* millis("drain.deadline", options.drain?.deadline ?? 20_000),
      abortGrace: yield* millis("drain.abortGrace", options.drain?.abortGrace ?? 1000),
      ticketKeys: options.sharedTickets === false ? undefined : randomBytes(48).toString("hex"),
      failed
    }
  })

export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 1

/** Milliseconds of a time that is given; `Infinity` is for closes that have no deadline. */
export const millis = (
  parameter: string,
  input: Duration.Input,
  operation: "make" | "close" = "make"
): Result.Result<number, ListenerError.InvalidArgument> =>
  Result.mapError(
    DurationOption.millis(parameter, input, { infinite: operation === "close" }),
    (bad) => new ListenerError.InvalidArgument({ operation, listener: "workers", trail: [], ...bad })
  )

const check = (
  parameter: string,
  good: boolean,
  expected: string,
  value: unknown
): Result.Result<void, ListenerError.InvalidArgument> =>
  good ? Result.void : Result.fail(
    new ListenerError.InvalidArgument({
      operation: "make",
      listener: "workers",
      trail: [],
      parameter,
      detail: `${expected} (${inspect(value)})`
    })
  )

/**
 * What a process that holds listening sockets (a supervisor, or a predecessor
 * that hands over) and the process it starts say to each other.
 *
 * The holder spawns with the sockets and one more pipe as descriptors, and names
 * them in one variable of the environment. Over that pipe, the channel, both
 * write lines of JSON:
 *
 * ```
 * successor or worker                         holder
 *  checks its descriptors, builds everything
 *  waiting (what for) ────────────────────▶   for the text of a time-out
 *  prepared ──────────────────────────────▶   nothing was lost so far, whatever fails
 *           ◀────────────────────────────── go
 *  listens, proves that it accepts
 *  accepting ─────────────────────────────▶   counts as ready from here on
 *           ◀────────────────────────────── report, close, ask, as the holder needs
 *  closing, report, metrics, answer ──────▶
 * ```
 *
 * The end of the channel is the end of its other side.
 */
import * as DrainReport from "@effect-listener/core/DrainReport"
import * as ListenerHost from "@effect-listener/core/ListenerHost"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { variable } from "./variable.ts"

/** The first descriptor after stdin, stdout and stderr; systemd begins there, too. */
export const firstDescriptor = 3

/** Where a socket is bound. */
export const BoundTo = Schema.Union([
  Schema.Struct({ kind: Schema.Literal("tcp"), host: Schema.String, port: Schema.Int }),
  Schema.Struct({
    kind: Schema.Literal("unix"),
    path: Schema.String,
    /** Whether the process that is given the socket removes the file when it stops for good. */
    ownsFile: Schema.Boolean
  })
])
export type BoundTo = typeof BoundTo.Type

const Descriptor = Schema.Int.check(Schema.isGreaterThanOrEqualTo(firstDescriptor))

/** What a process is started with. */
export const Inheritance = Schema.Struct({
  from: Schema.Literals(["supervisor", "predecessor"]),
  /** The holder's process id. */
  pid: Schema.Int,
  /** How many came before: 1 is the first that inherits. */
  generation: Schema.Int,
  /** The descriptor of the channel. */
  channel: Descriptor,
  /** What TLS tickets are sealed with, 48 bytes in hexadecimal digits: processes that have them resume each other's sessions. */
  ticketKeys: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[\da-f]{96}$/))),
  sockets: Schema.Array(Schema.Struct({ name: Schema.String, fd: Descriptor, boundTo: BoundTo }))
})
export type Inheritance = typeof Inheritance.Type

/** A report of either kind of close. */
export const Report = Schema.Union([ListenerHost.HostReport, DrainReport.DrainReport])
export type Report = typeof Report.Type

/** What is said over the channel. */
export const Message = Schema.Union([
  /** From the one that was started: what it waits for before it is prepared, such as a socket that no transport has taken. */
  Schema.Struct({ type: Schema.Literal("waiting"), detail: Schema.String }),
  /** It has built everything and listens nowhere yet. Once. */
  Schema.Struct({ type: Schema.Literal("prepared") }),
  /** It accepts connections of the shared sockets, proved with so many of its own. Once, after `go`. */
  Schema.Struct({ type: Schema.Literal("accepting"), probes: Schema.Int }),
  /** It will not be ready, and ends. */
  Schema.Struct({ type: Schema.Literal("failed"), detail: Schema.String }),
  /** From the holder: listen. `tries` bounds the connections of the proof for each socket. */
  Schema.Struct({ type: Schema.Literal("go"), tries: Schema.Int }),
  /** From the holder: close, as at a signal. Milliseconds. */
  Schema.Struct({
    type: Schema.Literal("close"),
    reason: Schema.String,
    deadline: Schema.optionalKey(Schema.Finite),
    queue: Schema.optionalKey(Schema.Literals(["sweep", "leave"]))
  }),
  /** From the one that was started: it has begun to close, asked or not. */
  Schema.Struct({ type: Schema.Literal("closing") }),
  /** From the one that has closed. */
  Schema.Struct({ type: Schema.Literal("report"), report: Report }),
  /** The last of all: its metrics, in Prometheus' text format. */
  Schema.Struct({ type: Schema.Literal("metrics"), text: Schema.String }),
  /** A question of either side, by a number of its own, and its answer. */
  Schema.Struct({ type: Schema.Literal("ask"), id: Schema.Int, about: Schema.String, body: Schema.Unknown }),
  Schema.Struct({ type: Schema.Literal("answer"), id: Schema.Int, body: Schema.Unknown })
])
export type Message = typeof Message.Type

/**
 * How a holder spawns: the variable, and what goes behind stdin, stdout and
 * stderr in `spawn`'s `stdio`. The channel is the last of them.
 */
export const passOn = (
  holder: Pick<Inheritance, "from" | "pid" | "generation" | "ticketKeys">,
  sockets: ReadonlyArray<{ readonly name: string; readonly fd: number; readonly boundTo: BoundTo }>
): {
  readonly env: Record<string, string>
  readonly stdio: ReadonlyArray<number | "pipe">
  readonly channel: number
} => {
  const channel = firstDescriptor + sockets.length
  const inheritance: Inheritance = {
    ...holder,
    channel,
    sockets: sockets.map(({ boundTo, name }, index) => ({ name, fd: firstDescriptor + index, boundTo }))
  }
  return {
    env: { [variable]: JSON.stringify(inheritance) },
    stdio: [...sockets.map(({ fd }) => fd), "pipe"],
    channel
  }
}

/** Reads the variable. */
export const readInheritance = (text: string): Result.Result<Inheritance, string> => decodeInheritance(text)

/** One line of the channel. */
export const encode = (message: Message): string => `${JSON.stringify(message)}\n`

/** The longest line: a report names each connection that was cut. */
const longestLine = 64 * 1024 * 1024

/** Cuts what comes over a channel into messages; a line that is too long is a mistake as well. */
export const makeDecoder = (): (chunk: string) => ReadonlyArray<Result.Result<Message, string>> => {
  let pieces: Array<string> = []
  let length = 0
  return (chunk) => {
    const lines = chunk.split("\n")
    const rest = lines.pop()!
    const complete = lines.map((line, index) => {
      const whole = index === 0 ? pieces.join("") + line : line
      if (index === 0) pieces = []
      return decode(whole)
    })
    if (lines.length > 0) length = 0
    length += rest.length
    if (length > longestLine) {
      pieces = []
      length = 0
      return [...complete, Result.fail(`a line of more than ${longestLine} characters`)]
    }
    if (rest !== "") pieces.push(rest)
    return complete
  }
}

/** One line of the channel, or why it is none. */
const decode = (line: string): Result.Result<Message, string> => decodeMessage(line)

const decoder = <S extends Schema.Codec<unknown, unknown>>(schema: S) => {
  const decodeText = Schema.decodeUnknownExit(Schema.fromJsonString(schema))
  return (text: string): Result.Result<S["Type"], string> => {
    const exit = decodeText(text)
    return Exit.isSuccess(exit) ? Result.succeed(exit.value) : Result.fail(`not of this protocol: ${excerpt(text)}`)
  }
}

const excerpt = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)

const decodeInheritance = decoder(Inheritance)
const decodeMessage = decoder(Message)

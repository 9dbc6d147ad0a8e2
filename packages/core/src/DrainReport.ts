/**
 * What a close did: how long it took, how every connection ended, and which
 * ones were cut and why.
 *
 * A `DrainReport` is the value of `Listener.close` and travels inside
 * `OperationTimedOut` and `OperationAborted`. It is plain data: it encodes to
 * JSON through its schema and through `JSON.stringify`, and it never holds
 * payload data.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Schema of a connection's phase.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const ConnectionPhase = Schema.Literals([
  "Queued",
  "Handshake",
  "Idle",
  "Active",
  "Flushing",
  "Lingering",
  "Upgraded",
  "Detached"
])

/**
 * Where a connection stands.
 *
 * **Details**
 *
 * - `Queued`: accepted by the kernel, not yet given to a handler.
 * - `Handshake`: TLS is being negotiated.
 * - `Idle`: nothing is in flight on it.
 * - `Active`: it has work in flight.
 * - `Flushing`: its last bytes are on their way to the kernel.
 * - `Lingering`: all is sent, the peer has not ended its side yet.
 * - `Upgraded`: an HTTP connection that became another protocol.
 * - `Detached`: it lives in another scope, outside this listener.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type ConnectionPhase = typeof ConnectionPhase.Type

/**
 * A unit of work in flight: its label and its age in milliseconds.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const ExchangeInfo = Schema.Struct({
  label: Schema.String,
  age: Schema.Finite
})

/**
 * A unit of work in flight: its label and its age in milliseconds.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type ExchangeInfo = typeof ExchangeInfo.Type

/**
 * Schema of `ConnectionInfo`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const ConnectionInfo = Schema.Struct({
  id: Schema.Int,
  remote: Schema.String,
  protocol: Schema.String,
  phase: ConnectionPhase,
  exchanges: Schema.Array(ExchangeInfo),
  age: Schema.Finite,
  bytesIn: Schema.Finite,
  bytesOut: Schema.Finite,
  bytesPending: Schema.Finite,
  phaseAge: Schema.optionalKey(Schema.Finite)
})

/**
 * One connection as an operator sees it.
 *
 * **Details**
 *
 * `id` is unique within the listener, `remote` is the peer's address as text,
 * `age` is in milliseconds since the accept, `phaseAge` in milliseconds since it
 * entered its phase (missing in reports of versions without it), the byte counts are payload of
 * the transport in bytes. `bytesPending` is what was written but not yet taken
 * by the kernel: a large number names a client that does not read.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type ConnectionInfo = typeof ConnectionInfo.Type

/**
 * Schema of `ConnectionCounts`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const ConnectionCounts = Schema.Struct({
  total: Schema.Int,
  drained: Schema.Int,
  idle: Schema.Int,
  endedByPeer: Schema.Int,
  failed: Schema.Int,
  cut: Schema.Int,
  closer: Schema.Int,
  detached: Schema.Int,
  neverAccepted: Schema.Int
})

/**
 * How the connections of a close ended. `total` is what was open when the close
 * began and what was accepted after, and the other fields add up to it.
 *
 * **Details**
 *
 * - `drained`: had work in flight when draining reached it, or came during the
 *   close and was served; was ended by a goodbye.
 * - `idle`: had none, and was ended by a goodbye.
 * - `endedByPeer`: the peer ended or reset it.
 * - `failed`: its handler failed or died.
 * - `cut`: destroyed by the deadline or by an abort.
 * - `closer`: its own handler asked for the close, so the close did not wait for it.
 * - `detached`: it lives on in another scope.
 * - `neverAccepted`: taken from the kernel, and by no handler.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type ConnectionCounts = typeof ConnectionCounts.Type

/**
 * The one reason for which a connection ended.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type EndReason = Exclude<keyof ConnectionCounts, "total">

/**
 * Schema of `DatagramCounts`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const DatagramCounts = Schema.Struct({
  received: Schema.Int,
  answered: Schema.Int,
  failed: Schema.Int,
  cut: Schema.Int,
  closer: Schema.Int,
  dropped: Schema.Struct({
    maxExchanges: Schema.Int,
    maxPerRemote: Schema.Int,
    receiveRate: Schema.Int,
    maxQueued: Schema.Int,
    maxEventLoopLag: Schema.Int,
    neverReceived: Schema.Int,
    transport: Schema.Int
  })
})

/**
 * What became of the datagrams of a listener since it was opened. `received` is
 * all of them, and once the listener is closed the other fields add up to it.
 *
 * **Details**
 *
 * - `answered`: their handlers have ended.
 * - `failed`: their handlers have failed or died, or an answer could not be sent.
 * - `cut`: their handlers were interrupted by the deadline or by an abort.
 * - `closer`: their handlers asked for the close, which did not wait for them.
 * - `dropped`: nothing handled them, each for one reason: the limit of admission
 *   that they met; `neverReceived`, queued and taken by nothing before the close;
 *   `transport`, dropped by the transport because it had no room, or because they came
 *   after it had stopped. What the kernel drops is not known.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type DatagramCounts = typeof DatagramCounts.Type

/**
 * Why a datagram was dropped.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type DropReason = keyof DatagramCounts["dropped"]

/**
 * Schema of how a close ended, from the best to the worst.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const Outcome = Schema.Literals(["Drained", "DeadlineExceeded", "Aborted"])

/**
 * How a close ended: everything finished, the deadline passed, or an abort
 * overtook it.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Outcome = typeof Outcome.Type

/**
 * Schema of `DrainReport`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const DrainReport = Schema.Struct({
  listener: Schema.String,
  reason: Schema.String,
  outcome: Outcome,
  duration: Schema.Finite,
  swept: Schema.Int,
  sweepCut: Schema.Boolean,
  queue: Schema.Literals(["swept", "left", "none"]),
  refused: Schema.Int,
  connections: ConnectionCounts,
  cut: Schema.Array(ConnectionInfo),
  handlersLeftBehind: Schema.Array(ConnectionInfo),
  datagrams: Schema.optionalKey(DatagramCounts)
})

/**
 * What a close did.
 *
 * **Details**
 *
 * - `reason`: the text given to `close`, or what closed it.
 * - `duration`: milliseconds from the call to the end.
 * - `swept`: connections the kernel had accepted and the sweep still served.
 * - `sweepCut`: the sweep was ended before it was finished: what the kernel still
 *   had in its queue was reset. Clients that are known to have connected before it
 *   began are waited for until a tenth of the deadline is left; those that come
 *   after them, and a queue that cannot be seen, for a tenth. An abort ends it, too.
 * - `queue`: what became of the accept queue: it was swept, it was left to
 *   another process that has the same socket, or nothing listened by then.
 * - `refused`: connections refused by admission and requests read after a
 *   goodbye; not part of `connections.total`.
 * - `cut`: each connection that was destroyed, as it stood at that moment.
 * - `handlersLeftBehind`: handlers that did not end within the abort grace.
 * - `datagrams`: what became of all datagrams, where the listener is one of
 *   datagrams. Its `connections` are exchanges then, one a datagram.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type DrainReport = typeof DrainReport.Type

/**
 * Text with its control characters, line ends and changes of direction made
 * visible: a label can hold what a client sent, and must not forge a line of a log
 * or drive a terminal.
 *
 * @internal
 */
export const oneLine = (text: string): string =>
  text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu,
    (c) => c === "\n" ? "\\n" : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

/** How many exchanges of one connection are named in a line. */
const namedExchanges = 8

/**
 * One line that names a connection: what it was doing, for how long, with which
 * client, and what it still had to send.
 *
 * @stability experimental
 * @category formatting
 * @since 0.1.0
 */
export const formatConnection = (info: ConnectionInfo): string => {
  const { age, exchanges, phase, phaseAge = age } = info
  const shown = exchanges.slice(0, namedExchanges).map((exchange) => `${exchange.label} ${span(exchange.age)}`)
  const more = exchanges.length - shown.length
  return oneLine([
    `#${info.id} ${info.remote} ${info.protocol} ${phase}${phaseAge < age ? ` ${span(phaseAge)}` : ""}`,
    ...shown,
    ...more > 0 ? [`and ${more} more`] : [],
    `open ${span(age)}`,
    ...info.bytesPending > 0 ? [`${bytes(info.bytesPending)} unsent`] : []
  ].join(", "))
}

const span = (ms: number): string => {
  if (Math.round(ms) < 1000) return `${Math.round(ms)} ms`
  const s = ms / 1000
  if (s < 60) return `${s.toFixed(1)} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`
  return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`
}

const bytes = (n: number): string =>
  n < 1024 ? `${n} B` : n < 1024 * 1024 ? `${Math.round(n / 1024)} KiB` : `${(n / 1024 / 1024).toFixed(1)} MiB`

const ends: Record<EndReason, string> = {
  drained: "drained",
  idle: "idle",
  endedByPeer: "ended by peer",
  failed: "failed",
  cut: "cut",
  closer: "closer",
  detached: "detached",
  neverAccepted: "never accepted"
}

const outcomes: Record<Outcome, string> = {
  Drained: "drained in",
  DeadlineExceeded: "deadline exceeded after",
  Aborted: "aborted after"
}

/**
 * A report as a person would like to read it: one line for the outcome, one
 * for how the connections ended, one for each connection that was cut or left
 * behind, up to 1000 of each.
 *
 * **Example** (Printing a report)
 *
 * ```ts
 * import { DrainReport } from "@effect-listener/core"
 *
 * console.log(DrainReport.format({
 *   listener: "api",
 *   reason: "SIGTERM",
 *   outcome: "Drained",
 *   duration: 412,
 *   swept: 3,
 *   sweepCut: false,
 *   queue: "swept",
 *   refused: 0,
 *   connections: {
 *     total: 12, drained: 4, idle: 8, endedByPeer: 0, failed: 0,
 *     cut: 0, closer: 0, detached: 0, neverAccepted: 0
 *   },
 *   cut: [],
 *   handlersLeftBehind: []
 * }))
 * // => api: drained in 412 ms (SIGTERM)
 * // =>   12 connections: 4 drained, 8 idle; 3 swept
 * ```
 *
 * @stability experimental
 * @category formatting
 * @since 0.1.0
 */
export const format = (report: DrainReport): string => {
  const { total } = report.connections
  const ended = Object.entries(ends).flatMap(([reason, text]) => {
    const count = report.connections[reason as EndReason] // Object.entries widens the keys of `ends`
    return count > 0 ? [`${count} ${text}`] : []
  })
  const notes = [
    ...report.swept > 0 ? [`${report.swept} swept`] : [],
    ...report.sweepCut ? ["sweep cut short"] : [],
    ...report.queue === "left" ? ["accept queue left"] : [],
    ...report.refused > 0 ? [`${report.refused} refused`] : []
  ]
  const what = report.datagrams === undefined ? "connection" : "exchange"
  return [
    oneLine(`${report.listener}: ${outcomes[report.outcome]} ${span(report.duration)} (${report.reason})`),
    `  ${total} ${what}${total === 1 ? "" : "s"}${ended.length === 0 ? "" : `: ${ended.join(", ")}`}${
      notes.length === 0 ? "" : `; ${notes.join(", ")}`
    }`,
    ...report.datagrams === undefined ? [] : [`  ${formatDatagrams(report.datagrams)}`],
    ...list("cut", report.cut),
    ...list("handler left behind", report.handlersLeftBehind)
  ].join("\n")
}

/** How many connections are named in one text. */
const namedConnections = 1000

const list = (what: string, connections: ReadonlyArray<ConnectionInfo>): ReadonlyArray<string> => {
  const lines = connections.slice(0, namedConnections).map((info) => `  ${what} ${formatConnection(info)}`)
  const more = connections.length - lines.length
  return more > 0 ? [...lines, `  and ${more} more ${what}`] : lines
}

const formatDatagrams = ({ dropped, received, ...ends }: DatagramCounts): string => {
  const drops = Object.entries(dropped).filter(([, count]) => count > 0)
  const parts = [
    ...Object.entries(ends).flatMap(([end, count]) => count > 0 ? [`${count} ${end}`] : []),
    ...drops.map(([reason, count]) => `${count} dropped (${reason})`)
  ]
  return `${received} datagram${received === 1 ? "" : "s"} in all${parts.length === 0 ? "" : `: ${parts.join(", ")}`}`
}

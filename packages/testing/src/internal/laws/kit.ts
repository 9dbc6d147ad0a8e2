/**
 * The words the checks are written in: what must hold, within which time, and
 * clients and listeners of the transport that is looked at.
 */
import type { Connection } from "@effect-listener/core/Connection"
import type { DrainOptions } from "@effect-listener/core/Drain"
import type { DrainReport } from "@effect-listener/core/DrainReport"
import * as Listener from "@effect-listener/core/Listener"
import type { BoundTransport, LingerOptions, Transport, TransportConnection } from "@effect-listener/core/Transport"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import type { Client, Subject } from "./subject.ts"

/** What a check found, in words. */
export class Broken extends Data.TaggedError("Broken")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

/** How late a machine may be beyond a stated bound, in milliseconds. */
export const late = 2000

/** A time long enough that whoever waits for it is noticed, in milliseconds. */
export const tooLong = 60_000

export const ensure = (condition: boolean, detail: string): Effect.Effect<void, Broken> =>
  condition ? Effect.void : Effect.fail(new Broken({ detail }))

export const ensureEquals = <A>(actual: A, expected: A, what: string): Effect.Effect<void, Broken> =>
  ensure(
    Formatter.format(actual) === Formatter.format(expected),
    `${what}: expected ${Formatter.format(expected)}, got ${Formatter.format(actual)}`
  )

/** Any failure is a broken law; what it was is said. */
export const orBroken = <A, E, R>(effect: Effect.Effect<A, E, R>, what: string): Effect.Effect<A, Broken, R> =>
  Effect.catchCause(effect, (cause) =>
    Cause.hasInterruptsOnly(cause)
      ? Effect.interrupt
      : Effect.fail(new Broken({ detail: `${what}: ${describeCause(cause)}` })))

/** Failures in one line, without their stacks. */
export const describeCause = (cause: Cause.Cause<unknown>): string =>
  cause.reasons.map((reason) =>
    Cause.isFailReason(reason)
      ? describe(reason.error)
      : Cause.isDieReason(reason)
      ? `died with ${describe(reason.defect)}`
      : "interrupted"
  ).join(", ")

export const describe = (error: unknown): string => {
  if (error instanceof Broken) return error.detail
  const tag = Predicate.hasProperty(error, "_tag") ? String(error._tag) : undefined
  return error instanceof Error ? `${tag ?? error.name} (${error.message})` : tag ?? Formatter.format(error)
}

/**
 * Waits for an effect in a fiber of its own, so that one that can be neither
 * completed nor interrupted is reported and not waited for.
 */
export const exitWithin = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  millis: number
): Effect.Effect<Option.Option<Exit.Exit<A, E>>, never, R> =>
  Effect.flatMap(Effect.forkDetach(effect, { startImmediately: true }), (fiber) =>
    Fiber.await(fiber).pipe(
      Effect.timeoutOption(millis),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit) || Option.isNone(exit.value)) fiber.interruptUnsafe()
        })
      )
    ))

/** Fails when the effect takes longer. */
export const within = <A, E, R>(
  what: string,
  effect: Effect.Effect<A, E, R>,
  millis: number = late
): Effect.Effect<A, E | Broken, R> =>
  Effect.flatMap(
    exitWithin(effect, millis),
    Option.match({
      onNone: (): Effect.Effect<A, E | Broken> =>
        Effect.fail(new Broken({ detail: `${what}: not within ${millis} ms` })),
      onSome: (exit) => exit
    })
  )

/** Waits, where nothing can be awaited, until a condition holds. */
export const until = (
  what: string,
  condition: Effect.Effect<boolean, Broken>,
  millis: number = late
): Effect.Effect<void, Broken> =>
  within(
    what,
    Effect.gen(function*() {
      while (!(yield* condition)) yield* Effect.sleep(5)
    }),
    millis
  )

/** Runs in a fiber that has already started. */
export const start = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Fiber.Fiber<A, E>, never, R> =>
  Effect.forkChild(effect, { startImmediately: true })

/** Some turns of the event loop, each with time to read in it. */
export const turns = (count: number): Effect.Effect<void> => Effect.repeat(Effect.sleep(1), { times: count - 1 })

/**
 * A moment after something was begun, another one for each `i`: at once, a few
 * steps of other fibers later, or a turn of the event loop later.
 */
export const moment = (i: number): Effect.Effect<void> =>
  i % 4 === 3 ? Effect.sleep(i % 3) : i % 4 === 0 ? Effect.void : Effect.repeat(Effect.yieldNow, { times: i % 7 })

/** The same so many times at once. */
export const many = <A, E, R>(count: number, effect: (index: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(Array.from({ length: count }, (_, index) => index), effect, { concurrency: "unbounded" })

// --- bytes -----------------------------------------------------------------------------------------------------------

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const encode = (text: string): Uint8Array => encoder.encode(text)
export const decode = (bytes: Uint8Array): string => decoder.decode(bytes)

export const concat = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}

/** What a reader gives, as bytes. */
export const bytesOf = (chunks: ReadonlyArray<Uint8Array | string>): Uint8Array =>
  concat(chunks.map((chunk) => typeof chunk === "string" ? encode(chunk) : chunk))

export const kibi = 1024
export const mebi = 1024 * kibi

/** Bytes of which each piece says where it belongs. */
export const pattern = (size: number, from = 0): Uint8Array => {
  const bytes = new Uint8Array(size)
  for (let i = 0; i < size; i++) bytes[i] = ((from + i) * 31 + ((from + i) >> 8)) & 0xff
  return bytes
}

/** How many of these bytes are those of the pattern, from the first on. */
export const matching = (bytes: Uint8Array): number => {
  const expected = pattern(bytes.length)
  const wrong = bytes.findIndex((byte, index) => byte !== expected[index])
  return wrong === -1 ? bytes.length : wrong
}

// --- clients ---------------------------------------------------------------------------------------------------------

/** A client, and what was read of it and not yet taken. */
export interface Peer {
  readonly write: (data: string | Uint8Array) => Effect.Effect<void, Broken>
  readonly end: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
  /** The next bytes, so many of them. */
  readonly take: (bytes: number) => Effect.Effect<Uint8Array, Broken>
  /** The next line, without its end. */
  readonly line: Effect.Effect<string, Broken>
  /** Everything until the server's end, and what that was. */
  readonly rest: Effect.Effect<{ readonly bytes: Uint8Array; readonly how: "Fin" | "Reset" }>
}

const peerOf = (client: Client): Peer => {
  let pending: Uint8Array = new Uint8Array(0)
  const more = Effect.map(client.read, (bytes) => {
    pending = concat([pending, bytes])
  })
  const split = (at: number): Uint8Array => {
    const first = pending.subarray(0, at)
    pending = pending.subarray(at)
    return first
  }
  const ended = (what: string) => (error: unknown) =>
    new Broken({
      detail: `${what}, but the connection ended: ${describe(error)}, after "${decode(pending).slice(0, 80)}"`
    })
  return {
    write: (data) => orBroken(client.write(typeof data === "string" ? encode(data) : data), "a client's write"),
    end: client.end,
    reset: client.reset,
    take: (bytes) =>
      Effect.gen(function*() {
        const chunks = [pending]
        let size = pending.length
        pending = new Uint8Array(0)
        while (size < bytes) {
          const chunk = yield* Effect.mapError(client.read, ended(`${size} of ${bytes} bytes had come`))
          chunks.push(chunk)
          size += chunk.length
        }
        pending = concat(chunks)
        return split(bytes)
      }),
    line: Effect.gen(function*() {
      while (!pending.includes(10)) yield* Effect.mapError(more, ended("a line was to come"))
      const line = decode(split(pending.indexOf(10)))
      split(1)
      return line
    }),
    rest: Effect.gen(function*() {
      const chunks = [pending]
      pending = new Uint8Array(0)
      while (true) {
        const next = yield* Effect.option(client.read)
        if (Option.isNone(next)) break
        chunks.push(next.value)
      }
      return { bytes: concat(chunks), how: yield* client.ended }
    })
  }
}

export const connect = (subject: Subject): Effect.Effect<Peer, Broken, Scope.Scope> =>
  Effect.map(within("connecting", orBroken(subject.connect, "connecting")), peerOf)

/** Clients in the accept queue. */
export const fill = (subject: Subject, clients: number): Effect.Effect<ReadonlyArray<Peer>, Broken, Scope.Scope> =>
  Effect.map(
    within(
      "connecting",
      orBroken(subject.fill === undefined ? many(clients, () => subject.connect) : subject.fill(clients), "connecting")
    ),
    (clients) => clients.map(peerOf)
  )

/** The answer to a line. */
export const ask = (peer: Peer, line: string): Effect.Effect<string, Broken> =>
  within(`the answer to "${line}"`, Effect.andThen(peer.write(`${line}\n`), peer.line))

/** The server's end comes, and is a FIN. */
export const ensureFin = (peer: Peer, what: string): Effect.Effect<Uint8Array, Broken> =>
  Effect.flatMap(
    within(`${what}: the end`, peer.rest),
    ({ bytes, how }) => Effect.as(ensure(how === "Fin", `${what} was reset`), bytes)
  )

/** The connection is cut: reset where the transport can, else ended. */
export const ensureCut = (subject: Subject, peer: Peer, what: string): Effect.Effect<Uint8Array, Broken> =>
  Effect.flatMap(
    within(`${what}: the end`, peer.rest),
    ({ bytes, how }) =>
      Effect.as(ensure(how === "Reset" || subject.resets === false, `${what} was ended with a FIN`), bytes)
  )

// --- the transport itself --------------------------------------------------------------------------------------------

export const bind = (subject: Subject): Effect.Effect<BoundTransport, Broken, Scope.Scope> =>
  within("bind", orBroken(subject.transport.bind, "bind"))

export const accept = (bound: BoundTransport): Effect.Effect<TransportConnection, Broken> =>
  within("accept", orBroken(bound.accept, "accept"))

/** Accepts for ever, as a listener does. */
export const acceptAll = (bound: BoundTransport, arrive: (connection: TransportConnection) => void) =>
  start(Effect.ignore(Effect.forever(
    Effect.uninterruptibleMask((restore) => Effect.map(restore(bound.accept), arrive)),
    { disableYield: true }
  )))

/** A connection that was accepted, its reader and writer, and its client. */
export interface Pair {
  readonly peer: Peer
  readonly connection: TransportConnection
  readonly reader: Socket.Reader
  readonly writer: Socket.Writer
  readonly pull: Effect.Effect<Uint8Array, Socket.SocketError>
  readonly endWriter: Effect.Effect<void>
}

/** A connection, its handshake done. */
export const pair = (subject: Subject, bound: BoundTransport): Effect.Effect<Pair, Broken, Scope.Scope> =>
  Effect.gen(function*() {
    const peer = yield* connect(subject)
    const connection = yield* accept(bound)
    yield* within("the handshake", orBroken(connection.ready, "the handshake"))
    const reader = yield* orBroken(connection.socket.reader, "the reader")
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => connection.destroy)
    const writer = yield* Scope.provide(connection.socket.writer, scope)
    return {
      peer,
      connection,
      reader,
      writer,
      pull: Effect.map(reader.pull, bytesOf),
      endWriter: Scope.close(scope, Exit.void)
    }
  })

/** Pulls until so many bytes have come. */
export const pullAll = (pull: Pair["pull"], bytes: number): Effect.Effect<Uint8Array, Broken> =>
  within(
    `${bytes} bytes to pull`,
    Effect.gen(function*() {
      const chunks: Array<Uint8Array> = []
      for (let size = 0; size < bytes;) {
        const chunk = yield* orBroken(pull, `a pull after ${size} of ${bytes} bytes`)
        chunks.push(chunk)
        size += chunk.length
      }
      return concat(chunks)
    }),
    late + bytes / kibi
  )

export const linger = (
  options: { readonly idle?: number; readonly total?: number; readonly bytes?: number } = {}
): LingerOptions => ({
  idle: Duration.millis(options.idle ?? 200),
  total: Duration.millis(options.total ?? late),
  bytes: options.bytes ?? 64 * mebi
})

export const closeError = (reason: string): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1001, closeReason: reason }) })

/** Whether this is how a socket says that the peer has ended its side. */
export const isPeerEnd = (error: Socket.SocketError): boolean =>
  error.reason._tag === "SocketCloseError" && error.reason.code === 1000

// --- a listener over it ----------------------------------------------------------------------------------------------

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

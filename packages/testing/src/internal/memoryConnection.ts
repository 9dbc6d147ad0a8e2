/**
 * The server's end of a connection as a `TransportConnection`.
 */
import type { LingerOptions, TransportConnection } from "@effect-listener/core/Transport"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Socket from "effect/socket/Socket"
import type { Endpoint } from "./endpoint.ts"
import type { Ending } from "./pipe.ts"

const encoder = new TextEncoder()

export const encode = (data: string | Uint8Array): Uint8Array => typeof data === "string" ? encoder.encode(data) : data

/** A system error with its name in `code`, as Node's are. */
const systemError = (code: string, message: string): Error => Object.assign(new Error(message), { code })

const closeError = (code: number): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })

const writeError = (): Socket.SocketError =>
  new Socket.SocketError({
    reason: new Socket.SocketWriteError({ cause: systemError("EPIPE", "the connection takes no more bytes") })
  })

/** What the server's reader sees at the end of what the client sent. */
export const readError = (ending: Ending): Socket.SocketError =>
  ending === "Fin"
    ? closeError(1000)
    : new Socket.SocketError({
      reason: new Socket.SocketReadError({ cause: systemError("ECONNRESET", "the client reset the connection") })
    })

export interface ServerConnection extends TransportConnection {
  readonly sequence: number
  /** Ends and releases a connection that nobody took: a FIN, and its input is discarded. */
  readonly dismiss: () => void
  /** Resets and releases it. */
  readonly reset: () => void
}

export const make = <Peer>(options: {
  readonly sequence: number
  readonly endpoint: Endpoint<Socket.SocketError, Peer>
  readonly remote: TransportConnection["remote"]
  readonly local: TransportConnection["local"]
  readonly protocol: string
  readonly ready: TransportConnection["ready"]
  readonly onRelease: () => void
}): ServerConnection => {
  const { incoming, outgoing } = options.endpoint
  let released = false
  let lingering = false

  /** Ends what the handler can still do with the socket, by `end`; the first caller decides. */
  const release = (end: () => void): void => {
    if (released) return
    released = true
    options.onRelease()
    end()
    incoming.failWaiting(closeError(1006))
  }
  const reset = (): void => release(options.endpoint.reset)
  const dismiss = (): void =>
    release(() => {
      incoming.close()
      outgoing.end()
    })

  const reader: Socket.Socket["reader"] = Effect.suspend(() => {
    const owner = {}
    let closed = false
    return Effect.as(
      Effect.addFinalizer(() =>
        Effect.sync(() => {
          closed = true
          incoming.failWaiting(closeError(1006), owner)
        })
      ),
      {
        pull: Effect.suspend(() =>
          closed || released || lingering ? Effect.fail(closeError(1006)) : incoming.pull(Infinity, owner)
        ),
        upgrade: Socket.SocketUpgradeError.unsupported
      }
    )
  })

  const writeAll = (chunks: ReadonlyArray<Uint8Array | string>): Effect.Effect<void, Socket.SocketError> =>
    Effect.mapError(Effect.suspend(() => outgoing.write(chunks.map(encode))), writeError)
  const write = (chunk: Uint8Array | string | Socket.CloseEvent): Effect.Effect<void, Socket.SocketError> =>
    Socket.isCloseEvent(chunk)
      ? Effect.sync(() => chunk.code > 1000 ? options.endpoint.reset() : outgoing.end())
      : writeAll([chunk])
  const writer: Socket.Socket["writer"] = Effect.acquireRelease(
    Effect.succeed({ write, writeAll }),
    () => Effect.sync(() => outgoing.end())
  )

  const goodbye: TransportConnection["goodbye"] = (linger) =>
    Effect.gen(function*() {
      if (released) return
      outgoing.end()
      yield* outgoing.flushed
      if (released || linger === "none") return
      lingering = true
      incoming.restart()
      incoming.failWaiting(closeError(1006))
      yield* within(linger.total, discard(linger))
    }).pipe(
      Effect.onExit(() =>
        Effect.sync(() => release(outgoing.pending > 0 ? options.endpoint.reset : options.endpoint.close))
      )
    )

  const discard = (linger: LingerOptions): Effect.Effect<void> =>
    Effect.gen(function*() {
      let left = linger.bytes
      while (left > 0) {
        const chunks = yield* within(linger.idle, incoming.pull(left))
        if (Option.isNone(chunks)) return
        for (const chunk of chunks.value) left -= chunk.length
      }
    }).pipe(
      // Every end of reading is a SocketError: whichever it is, there is nothing left to discard
      Effect.catch(() => Effect.void)
    )

  return {
    sequence: options.sequence,
    remote: options.remote,
    local: options.local,
    protocol: options.protocol,
    socket: Socket.make({ reader, writer }),
    bytesPending: () => outgoing.pending,
    bytesIn: () => incoming.delivered,
    bytesOut: () => outgoing.written,
    ready: options.ready,
    endReading: (error) => {
      if (released || lingering) return true
      if (incoming.buffered) return false
      incoming.stop(error)
      return true
    },
    settled: Effect.andThen(Effect.yieldNow, incoming.readTurn),
    goodbye,
    destroy: Effect.sync(reset),
    dismiss,
    reset
  }
}

/** The effect's value, or none when it takes longer; an infinite time is none at all. */
const within = <A, E>(time: Duration.Duration, effect: Effect.Effect<A, E>): Effect.Effect<Option.Option<A>, E> =>
  Duration.isFinite(time) ? Effect.timeoutOption(effect, time) : Effect.asSome(effect)

/**
 * The server's end of a connection as a `TransportConnection`.
 */
import type { FastConnection, LingerOptions, TransportConnection } from "@effect-listener/core/Transport"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Socket from "effect/socket/Socket"
import { toBytes } from "../util/bytes.ts"
import { closeError, resetError, writeError } from "../util/socketErrors.ts"
import type { Endpoint } from "./endpoint.ts"
import type { Ending } from "./pipe.ts"

/** What the server's reader sees at the end of what the client sent, or after the socket was released. */
export const readError = (ending: Ending | "Closed"): Socket.SocketError =>
  ending === "Fin"
    ? closeError(1000)
    : ending === "Closed"
    ? closeError(1006)
    : resetError("the client reset the connection")

export interface ServerConnection extends TransportConnection {
  readonly sequence: number
  /** Ends and releases a connection that was not taken: a FIN, and its input is discarded. */
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

  /** Releases the socket by `end`; the first caller decides. */
  const release = (end: () => void): void => {
    if (released) return
    released = true
    options.onRelease()
    end()
  }
  const reset = (): void => release(options.endpoint.reset)
  const dismiss = (): void =>
    release(() => {
      const wake = incoming.close()
      outgoing.end()
      wake()
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
          closed || lingering ? Effect.fail(closeError(1006)) : incoming.pull(Infinity, owner)
        ),
        upgrade: Socket.SocketUpgradeError.unsupported
      }
    )
  })

  const writeAll = (chunks: ReadonlyArray<Uint8Array | string>): Effect.Effect<void, Socket.SocketError> =>
    Effect.mapError(Effect.suspend(() => outgoing.write(chunks.map(toBytes))), writeError)
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
      if (linger === "none") return
      lingering = true
      incoming.restart()
      incoming.failWaiting(closeError(1006))
      yield* discard(linger)
    }).pipe(
      Effect.onExit(() =>
        Effect.sync(() => release(outgoing.pending > 0 ? options.endpoint.reset : options.endpoint.close))
      )
    )

  const discard = (linger: LingerOptions): Effect.Effect<void> =>
    Effect.gen(function*() {
      const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(linger.total)
      let bytes = linger.bytes
      while (bytes > 0) {
        const left = end - (yield* Clock.currentTimeMillis)
        // a timer is set only where there is something to wait for, and it can end
        const time = Math.min(Duration.toMillis(linger.idle), left)
        const pull = incoming.pull(bytes)
        const chunks = incoming.readable || time === Infinity
          ? Option.some(yield* pull)
          : yield* Effect.timeoutOption(pull, time)
        if (Option.isNone(chunks)) return
        for (const chunk of chunks.value) bytes -= chunk.length
      }
    }).pipe(
      // every end of reading is a SocketError: whichever it is, there is nothing left to discard
      Effect.catch(() => Effect.void)
    )

  const watchDeparture: ServerConnection["watchDeparture"] = (gone, halfOpen = true) =>
    incoming.watchEnd((ending) => {
      if (ending === "Reset" || !halfOpen) gone()
    })

  const connection: ServerConnection = {
    sequence: options.sequence,
    remote: options.remote,
    local: options.local,
    protocol: options.protocol,
    socket: Socket.make({ reader, writer }),
    bytesPending: () => outgoing.pending,
    get fast() {
      return fast
    },
    ready: options.ready,
    endReading: (error) => {
      if (lingering) return true
      if (incoming.buffered) return false
      incoming.stop(error)
      return true
    },
    settled: Effect.andThen(Effect.yieldNow, incoming.readTurn),
    watchDeparture,
    goodbye,
    destroy: Effect.sync(reset),
    dismiss,
    reset
  }
  const fast: FastConnection = {
    owner: connection,
    bytesIn: () => incoming.delivered,
    bytesOut: () => outgoing.written
  }
  return connection
}

import type { TransportConnection } from "@effect-listener/core/Transport"
import { NodeTls } from "@effect-listener/node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { Socket } from "effect/socket"
import { netSocketOf } from "../src/internal/socket/nodeSocket.ts"
import { start, until } from "./support/listening.ts"
import { connect } from "./support/peer.ts"
import { medianAnswer } from "./support/smallWrites.ts"
import { connectTls } from "./support/tlsClient.ts"
import { pair } from "./support/tlsListening.ts"

const draining = new Socket.SocketError({
  reason: new Socket.SocketCloseError({ code: 1001, closeReason: "draining" })
})

/** Both ends of a connection whose handshake is done. */
const connectedWith = Effect.fnUntraced(function*(options: Partial<NodeTls.TransportOptions>) {
  const bound = yield* NodeTls.transport({ host: "127.0.0.1", port: 0, ...pair, ...options }).bind
  const connecting = yield* start(connectTls(bound.address, { ca: pair.cert }))
  const connection = yield* bound.accept
  yield* connection.ready
  return { connection, peer: yield* Fiber.join(connecting) }
})
const connected = connectedWith({})

const reasonOf = (exit: Exit.Exit<unknown, Socket.SocketError>) =>
  Exit.isFailure(exit) ? String(exit.cause).match(/\d{4}/)?.[0] : "bytes"

const pullOf = (connection: TransportConnection) =>
  Effect.map(connection.socket.reader, ({ pull }) => Effect.map(pull, ([chunk]) => chunk.toString()))

describe("a connection of NodeTls.transport", () => {
  it.live("endReading: with decrypted bytes waiting nothing happens, without any pulls fail and writing goes on", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* connected
      const pull = yield* pullOf(connection)
      const writer = yield* connection.socket.writer
      yield* peer.send("one")
      assert.strictEqual(yield* pull, "one")
      yield* peer.send("two")
      yield* until("it is decrypted", () => connection.fast?.bytesIn() === 6)
      assert.isFalse(connection.endReading(draining))
      assert.strictEqual(yield* pull, "two")
      const waiting = yield* start(pull)
      assert.isTrue(connection.endReading(draining))
      assert.strictEqual(reasonOf(yield* Fiber.await(waiting)), "1001")
      assert.strictEqual(reasonOf(yield* Effect.exit(pull)), "1001")
      yield* writer.write("bye")
      assert.strictEqual((yield* peer.received(3)).toString(), "bye")
    }))

  it.live("settled: what the kernel had before the call has reached a waiting pull", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* connected
      const pull = yield* pullOf(connection)
      for (let round = 0; round < 20; round++) {
        const waiting = yield* start(pull)
        peer.socket.write("x")
        yield* connection.settled
        assert.deepStrictEqual(waiting.pollUnsafe(), Exit.succeed("x"))
      }
    }))

  it.live("sends small writes at once, unless told not to", () =>
    Effect.gen(function*() {
      const answer = Effect.fnUntraced(function*(options: Partial<NodeTls.TransportOptions>) {
        const { connection, peer } = yield* connectedWith(options)
        return yield* medianAnswer(connection, peer)
      })
      assert.isBelow(2 * (yield* answer({})), yield* answer({ noDelay: false }))
    }))

  it.live("counts what it carries, not what the wire does", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* connected
      assert.deepStrictEqual([connection.fast?.bytesIn(), connection.fast?.bytesOut(), connection.bytesPending()], [
        0,
        0,
        0
      ])
      const pull = yield* pullOf(connection)
      const writer = yield* connection.socket.writer
      yield* peer.send("hello")
      yield* pull
      yield* writer.write("hi")
      yield* peer.received(2)
      assert.deepStrictEqual([connection.fast?.bytesIn(), connection.fast?.bytesOut()], [5, 2])
      yield* until("nothing is pending", () => connection.bytesPending() === 0)
    }))

  it.live("that is reset in the middle of a write leaves it to Node to release what libuv still writes", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* connected
      const socket = netSocketOf(connection)!
      peer.socket.pause()
      const writer = yield* connection.socket.writer
      yield* start(Effect.ignore(writer.write(new Uint8Array(64 << 20))))
      yield* until("it writes", () => peer.socket.readableLength > 0)
      yield* connection.destroy
      // destroyed before the TCP socket has closed, it can crash the process: that depends on what comes by then
      assert.isFalse(socket.destroyed)
      peer.socket.resume()
      assert.strictEqual(yield* peer.ending, "ECONNRESET")
      yield* until("it is released", () => socket.destroyed)
    }))

  it.live("that was ended before its handshake is never ready, also when the client goes on", () =>
    Effect.gen(function*() {
      const bound = yield* NodeTls.transport({ host: "127.0.0.1", port: 0, ...pair }).bind
      const connecting = yield* start(connectTls(bound.address, { ca: pair.cert }))
      const connection = yield* bound.accept
      const ready = yield* start(connection.ready)
      assert.isTrue(connection.endReading(draining))
      assert.isTrue(Exit.isFailure(yield* Fiber.await(ready)))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(connection.ready)))
      const pull = yield* Effect.exit(Effect.scoped(connection.socket.reader))
      assert.strictEqual(reasonOf(pull), "1001")
      const writer = yield* connection.socket.writer
      assert.isTrue(Exit.isFailure(yield* Effect.exit(writer.write("hello"))))
      const peer = yield* Effect.exit(Fiber.join(connecting))
      // either end may be the first to know
      if (Exit.isSuccess(peer)) assert.strictEqual((yield* peer.value.rest).data.toString(), "")
    }))

  it.live("that is no longer owned says goodbye, or is destroyed, before anything was read", () =>
    Effect.gen(function*() {
      const bound = yield* NodeTls.transport({ host: "127.0.0.1", port: 0, ...pair }).bind
      for (const [end, how] of [["goodbye", "FIN"], ["destroy", "ECONNRESET"]] as const) {
        const peer = yield* connect(bound.address)
        const connection = yield* bound.accept
        yield* peer.send("something unread")
        yield* end === "goodbye" ? start(connection.goodbye("none")) : connection.destroy
        assert.strictEqual(yield* peer.ending, how)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(connection.ready)))
        yield* connection.destroy
      }
    }))
})

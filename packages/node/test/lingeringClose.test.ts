import type { LingerOptions } from "@effect-listener/core/Transport"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import { assert, describe, it, vi } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { netSocketOf } from "../src/internal/socket/nodeSocket.ts"
import { until } from "./support/listening.ts"
import { connect, type Peer } from "./support/peer.ts"
import { timers, turns } from "./support/resources.ts"

const linger = (options: Partial<Record<"idle" | "total" | "bytes", number>> = {}): LingerOptions => ({
  idle: Duration.millis(options.idle ?? 10_000),
  total: Duration.millis(options.total ?? 20_000),
  bytes: options.bytes ?? 64 << 20
})

/** A connection and the peer at its other end. */
const pair = (options: { readonly paused?: boolean } = {}) =>
  Effect.gen(function*() {
    const bound = yield* NodeTcp.transport({ port: 0, host: "127.0.0.1" }).bind
    const peer = yield* connect(bound.address, options)
    const connection = yield* bound.accept
    yield* Effect.addFinalizer(() => connection.destroy)
    return { connection, peer } as const
  })

const millis = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.map(Effect.timed(effect), ([duration]) => Duration.toMillis(duration))

/** The milliseconds of a timer, of which those that look at lingering sockets have 100. */
const delayOf = ([, delay]: ReadonlyArray<unknown>): number => Math.round(Number(delay))

/** Sends 8 MiB in a second, then ends, and only then reads. */
const uploadSlowly = (peer: Peer) =>
  Effect.gen(function*() {
    const chunk = Buffer.alloc(128 << 10)
    for (let i = 0; i < 64; i++) {
      yield* peer.send(chunk)
      yield* Effect.sleep(15)
    }
    yield* peer.resume
    const rest = yield* peer.rest
    yield* peer.end
    return rest
  })

describe("LingeringClose", () => {
  it.live("delivers 64 MiB whole to a slow reader", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* pair({ paused: true })
      const { write } = yield* connection.socket.writer
      const all = Buffer.alloc(64 << 20, "0123456789abcdef")
      const writing = yield* Effect.forkChild(write(all), { startImmediately: true })
      const goodbye = yield* Effect.forkChild(connection.goodbye(linger()), { startImmediately: true })
      // a slow reader: takes what is there, and pauses
      const { socket } = peer
      yield* peer.resume
      let seen = 0
      socket.on("data", (chunk: Buffer) => {
        seen += chunk.length
        if (seen < 2 << 20) return
        seen = 0
        socket.pause()
        setTimeout(() => socket.resume(), 5)
      })
      yield* Fiber.join(writing)
      const { data, ending } = yield* peer.rest
      assert.deepStrictEqual([ending, data.equals(all)], ["FIN", true])
      assert.isUndefined(goodbye.pollUnsafe())
      assert.strictEqual(connection.bytesPending(), 0)
      yield* peer.end
      yield* Fiber.join(goodbye)
      assert.isTrue(netSocketOf(connection)?.destroyed)
    }))

  it.live("lets 10 clients that upload 8 MiB, and read only afterwards, have their early answer", () =>
    Effect.gen(function*() {
      const clients = Effect.gen(function*() {
        const { connection, peer } = yield* pair({ paused: true })
        const uploading = yield* Effect.forkChild(uploadSlowly(peer), { startImmediately: true })
        const { pull } = yield* connection.socket.reader
        const { write } = yield* connection.socket.writer
        yield* pull
        yield* write("413")
        // shorter than the upload: only silence counts
        yield* connection.goodbye(linger({ idle: 500 }))
        return yield* Fiber.join(uploading)
      })
      const endings = yield* Effect.all(Array.from({ length: 10 }, () => clients), { concurrency: "unbounded" })
      assert.deepStrictEqual(
        endings.map(({ data, ending }) => `${data.toString()} ${ending}`),
        Array.from({ length: 10 }, () => "413 FIN")
      )
    }))

  it.live("reads on while it flushes: a peer that takes nothing before it has sent all is not waited for in vain", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* pair({ paused: true })
      const { write } = yield* connection.socket.writer
      const sending = yield* Effect.forkChild(
        Effect.andThen(peer.send(Buffer.alloc(32 << 20)), peer.resume),
        { startImmediately: true }
      )
      const writing = yield* Effect.forkChild(write(Buffer.alloc(16 << 20)), { startImmediately: true })
      const goodbye = yield* Effect.forkChild(connection.goodbye(linger()), { startImmediately: true })
      yield* Fiber.join(sending)
      const { data, ending } = yield* peer.rest
      assert.deepStrictEqual([ending, data.length], ["FIN", 16 << 20])
      yield* peer.end
      yield* Fiber.join(writing)
      yield* Fiber.join(goodbye)
    }))

  it.live("discards what was sent before and never pulled, so that the answer is not reset away", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* pair()
      const { pull } = yield* connection.socket.reader
      const { write } = yield* connection.socket.writer
      yield* peer.send("first")
      yield* pull
      yield* peer.send(Buffer.alloc(1 << 20))
      yield* write("answer")
      const goodbye = yield* Effect.forkChild(connection.goodbye(linger()), { startImmediately: true })
      const { data, ending } = yield* peer.rest
      assert.deepStrictEqual([ending, data.toString()], ["FIN", "answer"])
      yield* peer.end
      yield* Fiber.join(goodbye)
      assert.strictEqual(connection.fast?.bytesIn(), 5 + (1 << 20))
    }))

  it.live("fails pulls with 1006 from its beginning", () =>
    Effect.gen(function*() {
      const { connection } = yield* pair()
      const { pull } = yield* connection.socket.reader
      const waiting = yield* Effect.forkChild(Effect.flip(pull), { startImmediately: true })
      yield* Effect.forkChild(connection.goodbye(linger()), { startImmediately: true })
      assert.strictEqual((yield* Fiber.join(waiting)).message, "1006")
      assert.strictEqual((yield* Effect.flip(pull)).message, "1006")
    }))

  it.live("waits `idle` for a peer that is silent", () =>
    Effect.gen(function*() {
      const { connection } = yield* pair()
      const took = yield* millis(connection.goodbye(linger({ idle: 200 })))
      assert.isAtLeast(took, 195)
      assert.isBelow(took, 2200)
    }))

  it.live("does not count time in which the event loop was too busy to read", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* pair()
      const goodbye = yield* Effect.forkChild(connection.goodbye(linger({ idle: 100 })), { startImmediately: true })
      yield* peer.ending
      yield* peer.send("in time")
      const busyUntil = performance.now() + 300
      while (performance.now() < busyUntil);
      yield* turns(5)
      assert.isUndefined(goodbye.pollUnsafe())
      yield* Fiber.join(goodbye)
      assert.strictEqual(connection.fast?.bytesIn(), 7)
    }))

  it.live("waits `total` for a peer that never stops", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* pair()
      yield* Effect.forkChild(Effect.forever(Effect.andThen(peer.send("x"), Effect.sleep(20))))
      const took = yield* millis(connection.goodbye(linger({ idle: 200, total: 500 })))
      assert.isAtLeast(took, 495)
      assert.isBelow(took, 2500)
    }))

  it.live("discards no more than `bytes`, also before it has flushed", () =>
    Effect.gen(function*() {
      const idle = yield* pair()
      yield* Effect.forkChild(idle.peer.send(Buffer.alloc(64 << 20)), { startImmediately: true })
      yield* idle.connection.goodbye(linger({ bytes: 1 << 20 }))
      assert.isAtLeast(idle.connection.fast?.bytesIn() ?? 0, 1 << 20)
      assert.isAtMost(idle.connection.fast?.bytesIn() ?? 0, 2 << 20)

      const { connection, peer } = yield* pair({ paused: true })
      const { write } = yield* connection.socket.writer
      yield* Effect.forkChild(write(Buffer.alloc(16 << 20)), { startImmediately: true })
      yield* Effect.forkChild(peer.send(Buffer.alloc(64 << 20)), { startImmediately: true })
      const goodbye = yield* Effect.forkChild(connection.goodbye(linger({ bytes: 1 << 20 })), {
        startImmediately: true
      })
      yield* until("1 MiB was discarded", () => (connection.fast?.bytesIn() ?? 0) >= 1 << 20)
      yield* turns(100)
      assert.isAtMost(connection.fast?.bytesIn() ?? 0, 2 << 20)
      assert.isUndefined(goodbye.pollUnsafe())
      yield* peer.resume
      yield* Fiber.join(goodbye)
    }))

  it.live("discards no more than `bytes` of what is there when it begins", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* pair()
      const { pull } = yield* connection.socket.reader
      yield* peer.send("hello")
      yield* pull
      yield* peer.send(Buffer.alloc(5000))
      yield* until("it is there", () => connection.fast?.bytesIn() === 5005)
      const took = yield* millis(connection.goodbye(linger({ bytes: 1000, idle: 10_000, total: 20_000 })))
      assert.isBelow(took, 5000)
      assert.strictEqual(yield* peer.ending, "FIN")
    }))

  it.live("with none, flushes and ends, and waits for no peer", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* pair({ paused: true })
      const { write } = yield* connection.socket.writer
      yield* Effect.forkChild(write(Buffer.alloc(16 << 20)), { startImmediately: true })
      const goodbye = yield* Effect.forkChild(connection.goodbye("none"), { startImmediately: true })
      yield* turns(10)
      assert.isUndefined(goodbye.pollUnsafe())
      yield* peer.resume
      yield* Fiber.join(goodbye)
      const { data, ending } = yield* peer.rest
      assert.deepStrictEqual([ending, data.length], ["FIN", 16 << 20])
    }))

  it.live("needs no timer for a peer that has already ended, or ends while it flushes", () =>
    Effect.gen(function*() {
      const timers = vi.spyOn(globalThis, "setTimeout")
      yield* Effect.addFinalizer(() => Effect.sync(() => timers.mockRestore()))
      const bounds = linger()

      const one = yield* pair()
      const { pull } = yield* one.connection.socket.reader
      const { write } = yield* one.connection.socket.writer
      yield* one.peer.end
      yield* Effect.flip(pull)
      yield* write("answer")
      yield* one.connection.goodbye(bounds)
      assert.strictEqual((yield* one.peer.rest).data.toString(), "answer")

      const two = yield* pair({ paused: true })
      const writer = yield* two.connection.socket.writer
      yield* Effect.forkChild(writer.write(Buffer.alloc(16 << 20)), { startImmediately: true })
      const goodbye = yield* Effect.forkChild(two.connection.goodbye(bounds), { startImmediately: true })
      yield* two.peer.end
      yield* until("the end is here", () => netSocketOf(two.connection)?.readableEnded === true)
      yield* two.peer.resume
      yield* Fiber.join(goodbye)
      assert.strictEqual((yield* two.peer.rest).data.length, 16 << 20)

      assert.notInclude(timers.mock.calls.map(delayOf), 100)
    }))

  it.live("leaves no timer when the peer ends meanwhile and its transport is closed", () =>
    Effect.gen(function*() {
      const before = timers()
      const armed = vi.spyOn(globalThis, "setTimeout")
      yield* Effect.addFinalizer(() => Effect.sync(() => armed.mockRestore()))
      yield* Effect.scoped(Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const goodbye = yield* Effect.forkChild(connection.goodbye(linger()), { startImmediately: true })
        assert.include(armed.mock.calls.map(delayOf), 100)
        yield* peer.ending
        yield* peer.send("a little more")
        yield* peer.end
        yield* Fiber.join(goodbye)
      }))
      // one of an earlier test may have ended as well
      assert.isAtMost(timers(), before)
    }))

  it.live("interrupted, resets", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* pair({ paused: true })
      const { write } = yield* connection.socket.writer
      yield* Effect.forkChild(write(Buffer.alloc(64 << 20)), { startImmediately: true })
      const goodbye = yield* Effect.forkChild(connection.goodbye(linger()), { startImmediately: true })
      yield* turns(3)
      yield* Fiber.interrupt(goodbye)
      assert.isTrue(netSocketOf(connection)?.destroyed)
      yield* peer.resume
      assert.strictEqual(yield* peer.ending, "ECONNRESET")
    }))

  it.live("ends when the connection is destroyed, by us or by the peer", () =>
    Effect.gen(function*() {
      const one = yield* pair()
      const byUs = yield* Effect.forkChild(one.connection.goodbye(linger()), { startImmediately: true })
      yield* turns(3)
      assert.isUndefined(byUs.pollUnsafe())
      yield* one.connection.destroy
      yield* Fiber.join(byUs)
      yield* one.connection.goodbye(linger())

      const two = yield* pair()
      const byPeer = yield* Effect.forkChild(two.connection.goodbye(linger()), { startImmediately: true })
      yield* turns(3)
      yield* two.peer.reset
      yield* Fiber.join(byPeer)
    }))

  it.live("can be said twice", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* pair()
      const both = yield* Effect.forkChild(
        Effect.all([connection.goodbye(linger()), connection.goodbye("none")], { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      assert.strictEqual(yield* peer.ending, "FIN")
      yield* peer.end
      yield* Fiber.join(both)
      assert.isTrue(netSocketOf(connection)?.destroyed)
    }))
})

import * as NodeTcp from "@effect-listener/node/NodeTcp"
import { assert, describe, it, vi } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { LingeringClose } from "../src/internal/socket/goodbye/lingeringClose.ts"
import { LingerTimer } from "../src/internal/socket/goodbye/lingerTimer.ts"
import { netSocketOf } from "../src/internal/socket/nodeSocket.ts"
import { until } from "./support/listening.ts"
import { connect } from "./support/peer.ts"
import { timers, turns } from "./support/resources.ts"

type Bounds = Partial<Record<"idle" | "total" | "bytes", number>>

const linger = (options: Bounds) => ({
  idle: Duration.millis(options.idle ?? 10_000),
  total: Duration.millis(options.total ?? 20_000),
  bytes: options.bytes ?? 64 << 20
})

/** How much longer a bound may last on a machine that is busy with something else, in milliseconds. */
const late = 2000

/** A socket that is read and discarded, its peer, and when it was closed. */
const pair = Effect.gen(function*() {
  const bound = yield* NodeTcp.transport({ port: 0, host: "127.0.0.1" }).bind
  const peer = yield* connect(bound.address)
  const connection = yield* bound.accept
  yield* Effect.addFinalizer(() => connection.destroy)
  const socket = netSocketOf(connection)!
  const lingerTimer = new LingerTimer()
  const times = { begun: Infinity, closed: Infinity }
  socket.once("finish", () => {
    times.begun = performance.now()
  })
  socket.once("close", () => {
    times.closed = performance.now()
  })
  socket.resume()
  /** Until it is closed, by these or those of another. */
  const lingers = (bounds: Bounds, among = lingerTimer) => {
    const closing = new LingeringClose(socket, linger(bounds), among, () => {})
    closing.watch()
    socket.once("close", () => closing.closed())
  }
  return { lingerTimer, lingers, peer, socket, times }
})

/** How many timers there are when those of earlier tests are over, which outlast their sockets by 100 ms: due before this. */
const quietTimers = Effect.andThen(Effect.sleep("150 millis"), Effect.andThen(turns(1), Effect.sync(timers)))

const closed = (socket: { readonly closed: boolean }) => until("closed", () => socket.closed)

describe("LingerTimer", () => {
  it.live("destroys a socket whose peer is silent, and not before", () =>
    Effect.gen(function*() {
      const { lingers, socket, times } = yield* pair
      lingers({ idle: 300 })
      socket.end()
      yield* closed(socket)
      const took = times.closed - times.begun
      assert.isTrue(took >= 300 && took < 300 + late, `${took} ms`)
    }))

  it.live("waits for a peer that goes on sending, until it has had its time", () =>
    Effect.gen(function*() {
      const { lingers, peer, socket, times } = yield* pair
      const sending = setInterval(() => peer.socket.write("x"), 20)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(sending)))
      lingers({ idle: 250, total: 1000 })
      socket.end()
      yield* closed(socket)
      const took = times.closed - times.begun
      assert.isTrue(took >= 1000 && took < 1000 + late, `${took} ms`)
    }))

  it.live("destroys a socket whose peer sends too much", () =>
    Effect.gen(function*() {
      const { lingers, peer, socket } = yield* pair
      lingers({ bytes: 1000 })
      socket.end()
      yield* until("the FIN is out", () => socket.writableFinished)
      const before = performance.now()
      const sending = setInterval(() => peer.socket.write(Buffer.alloc(200)), 20)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(sending)))
      yield* closed(socket)
      assert.isBelow(performance.now() - before, 1000 + late)
    }))

  it.live("bounds nothing before the FIN is out", () =>
    Effect.gen(function*() {
      const { lingers, peer, socket } = yield* pair
      peer.socket.pause()
      // more than the kernel takes for a peer that does not read
      socket.write(Buffer.alloc(32 << 20))
      lingers({ idle: 50, total: 50 })
      socket.end()
      // eight times either bound, which nothing but time would show
      yield* Effect.sleep(400)
      assert.isFalse(socket.destroyed)
      yield* peer.resume
      yield* closed(socket)
      assert.isTrue(socket.writableFinished)
    }))

  it.live("has one timer, and none after the last when it is closed", () =>
    Effect.gen(function*() {
      const { lingerTimer, lingers, peer, socket, times } = yield* pair
      const other = yield* pair
      const before = yield* quietTimers
      lingers({})
      other.lingers({}, lingerTimer)
      assert.strictEqual(timers(), before + 1)
      socket.end()
      other.socket.end()
      yield* peer.end
      // without a timer, unlike `until`
      while (times.closed === Infinity) yield* turns(1)
      assert.strictEqual(timers(), before + 1)
      lingerTimer.close()
      assert.strictEqual(timers(), before + 1)
      other.socket.destroy()
      while (other.times.closed === Infinity) yield* turns(1)
      assert.strictEqual(timers(), before)
      yield* turns(4)
      assert.strictEqual(timers(), before)
    }))

  it.live("makes a timer in 100 ms at most for those that come one by one, and leaves none when it is closed", () =>
    Effect.gen(function*() {
      const lingerTimer = new LingerTimer()
      const pairs = yield* Effect.all(Array.from({ length: 10 }, () => pair))
      const before = yield* quietTimers
      const made = vi.spyOn(globalThis, "setTimeout")
      const began = performance.now()
      for (const { lingers, socket, times } of pairs) {
        lingers({}, lingerTimer)
        socket.destroy()
        while (times.closed === Infinity) yield* turns(1)
      }
      const { length } = made.mock.calls
      made.mockRestore()
      assert.isAtLeast(length, 1)
      assert.isAtMost(length, 1 + (performance.now() - began) / 100)
      lingerTimer.close()
      assert.strictEqual(timers(), before)
    }))

  it.live("has no timer when nothing has come for a while", () =>
    Effect.gen(function*() {
      const { lingers, socket, times } = yield* pair
      const before = yield* quietTimers
      lingers({})
      socket.destroy()
      while (times.closed === Infinity) yield* turns(1)
      const soon = performance.now() + late
      while (timers() > before && performance.now() < soon) yield* turns(1)
      // it looks at its sockets in the turn after
      yield* turns(4)
      assert.strictEqual(timers(), before)
    }))
})

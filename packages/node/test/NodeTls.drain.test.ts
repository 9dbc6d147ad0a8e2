import { ListenerError } from "@effect-listener/core"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { Socket } from "effect/socket"
import { makeHolder } from "./support/handlers.ts"
import { descriptors, start, timed, until, untilDescriptors, untilStage } from "./support/listening.ts"
import { connect } from "./support/peer.ts"
import { turns } from "./support/resources.ts"
import { alert, connectTls, wiretap } from "./support/tlsClient.ts"
import { connectionsOf, pair, type Served, serveTls } from "./support/tlsListening.ts"

const client = { ca: pair.cert }

const connections = ({ listener }: Served) => connectionsOf(listener)
const untilDraining = ({ listener }: Served) => untilStage(listener, "Draining")

const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length

const megabytes = (count: number): Uint8Array => new Uint8Array(count * 2 ** 20)

/** Answers the first chunk with 64 MiB, and ends. */
const answer64 = Effect.fnUntraced(function*(connection: { readonly socket: Socket.Socket }) {
  const { pull } = yield* connection.socket.reader
  const writer = yield* connection.socket.writer
  yield* pull
  yield* writer.write(megabytes(64))
})

describe("a close over TLS", () => {
  it.live("delivers 64 MiB whole to a client that pauses, and knows what is pending", () =>
    Effect.gen(function*() {
      const served = yield* serveTls({ handler: answer64 })
      const peer = yield* connectTls(yield* served.listener.address, { ...client, paused: true })
      yield* peer.send("go\n")
      yield* until("it writes", () => (connections(served)[0]?.bytesPending ?? 0) > 0)
      assert.isAbove(connections(served)[0]!.bytesPending, 32 * 2 ** 20)
      const closing = yield* start(served.listener.close())
      yield* untilDraining(served)
      yield* Effect.sleep("500 millis")
      assert.strictEqual(connections(served).length, 1)
      yield* peer.resume
      const { data, ending } = yield* peer.rest
      assert.deepStrictEqual([data.length, ending], [64 * 2 ** 20, "FIN"])
      yield* peer.end
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.outcome, "Drained")
      assert.deepInclude(report.connections, { total: 1, drained: 1 })
    }))

  it.live("ends 200 idle connections, each by a close_notify and then a FIN, before an exchange in flight", () =>
    Effect.gen(function*() {
      const holder = yield* makeHolder
      const served = yield* serveTls({ handler: holder.handler })
      const address = yield* served.listener.address
      const busy = yield* connectTls(address, client)
      yield* busy.send("hold on\n")
      yield* holder.held(1)
      const idle = yield* Effect.forEach(
        Array.from({ length: 200 }, (_, index) => index % 2 === 0 ? "TLSv1.2" : "TLSv1.3" as const),
        Effect.fnUntraced(function*(maxVersion) {
          const tap = yield* wiretap(address)
          const peer = yield* connectTls(address, { ...client, maxVersion, socket: tap.stream })
          yield* peer.send("hello\n")
          yield* peer.received(6)
          return { tap, peer, maxVersion }
        }),
        { concurrency: 20 }
      )
      const closing = yield* start(served.listener.close())
      const endings = yield* Effect.forEach(idle, ({ peer }) => peer.ending)
      assert.isTrue(endings.every((ending) => ending === "FIN"))
      assert.strictEqual(busy.socket.bytesRead, 0)
      for (const { maxVersion, tap } of idle) {
        yield* until("the TCP connection is over", () => typeof tap.records.at(-1) === "string")
        const [notify, end] = tap.records.slice(-2)
        // TLS 1.3 hides what a record is; that of an alert is two bytes, their kind and the tag
        assert.deepInclude(notify, maxVersion === "TLSv1.2" ? { type: alert } : { type: 23, length: 19 })
        assert.strictEqual(end, "FIN")
      }
      yield* holder.release
      assert.strictEqual((yield* busy.rest).data.toString(), "released hold on\n")
      assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 201, idle: 200, drained: 1 })
    }))

  it.live("answers what has arrived and was not read yet, without any grace", () =>
    Effect.gen(function*() {
      const served = yield* serveTls()
      const address = yield* served.listener.address
      const peers = yield* Effect.forEach(Array.from({ length: 100 }), () => connectTls(address, client), {
        concurrency: 20
      })
      yield* until("all are served", () => connections(served).filter(({ phase }) => phase === "Idle").length === 100)
      // the kernel has them before the event loop turns again
      for (const peer of peers) peer.socket.write("hello\n")
      const report = yield* served.listener.close({ idleGrace: 0 })
      const answers = yield* Effect.forEach(peers, (peer) => peer.rest)
      assert.strictEqual(answers.filter(({ data }) => data.toString() === "hello\n").length, 100)
      assert.deepInclude(report.connections, { total: 100, cut: 0, endedByPeer: 0 })
    }))

  it.live("answers what was decrypted and waits for its turn", () =>
    Effect.gen(function*() {
      const holder = yield* makeHolder
      const served = yield* serveTls({ handler: holder.handler })
      const peer = yield* connectTls(yield* served.listener.address, client)
      yield* peer.send("hold on\n")
      yield* holder.held(1)
      yield* peer.send("second\n")
      yield* peer.send("third\n")
      yield* until("all of it was read", () => connections(served)[0]?.bytesIn === 21)
      const closing = yield* start(served.listener.close({ idleGrace: 0 }))
      yield* untilDraining(served)
      yield* holder.release
      assert.strictEqual((yield* peer.rest).data.toString(), "released hold on\nsecond\nthird\n")
      assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 1, drained: 1 })
    }))

  it.live.each(["at once", "when it has heard more"])(
    "lingers: an answer reaches a client that is still sending, whose connection is ended %s",
    (ended) =>
      Effect.gen(function*() {
        const served = yield* serveTls({
          handler: Effect.fnUntraced(function*(connection) {
            const { pull } = yield* connection.socket.reader
            const writer = yield* connection.socket.writer
            yield* pull
            yield* writer.write("too large\n")
            if (ended === "at once") return
            // then it is in the very turn in which the last of this comes, and with nothing left to flush
            for (let heard = 0; heard < 3 * 2 ** 20;) for (const chunk of yield* pull) heard += chunk.length
          })
        })
        const peer = yield* connectTls(yield* served.listener.address, { ...client, paused: true })
        // for longer than a silence is waited for
        yield* Effect.forEach(Array.from({ length: 20 }), () =>
          Effect.andThen(peer.send(megabytes(1)), Effect.sleep("60 millis")))
        yield* peer.end
        yield* peer.resume
        const { data, ending } = yield* peer.rest
        assert.deepStrictEqual([data.toString(), ending], ["too large\n", "FIN"])
        yield* until("it is gone", () =>
          connections(served).length === 0)
      })
  )

  it.live("cuts at the deadline, by a reset: clients that do not read or get no answer; half a handshake ends before", () =>
    Effect.gen(function*() {
      const served = yield* serveTls({
        drain: { idleGrace: "10 seconds" },
        handler: Effect.fnUntraced(function*(connection) {
          const pull = yield* Socket.readerString(connection.socket)
          const writer = yield* connection.socket.writer
          const text = (yield* pull).join("")
          yield* connection.exchange(text, text === "more\n" ? writer.write(megabytes(64)) : Effect.never)
        })
      })
      const address = yield* served.listener.address
      const deaf = yield* connectTls(address, { ...client, paused: true })
      yield* deaf.send("more\n")
      yield* until("it writes", () => (connections(served)[0]?.bytesPending ?? 0) > 0)
      const patient = yield* connectTls(address, client)
      yield* patient.send("never\n")
      const half = yield* connect(address)
      yield* half.send(Uint8Array.of(0x16, 0x03, 0x01))
      yield* until("all are known", () => connections(served).length === 3)
      const [error, millis] = yield* timed(Effect.flip(served.listener.close({ deadline: "500 millis" })))
      assert.isBelow(millis, 2500)
      assert.instanceOf(error, ListenerError.OperationTimedOut)
      // its grace is a courtesy, which ends before the deadline
      assert.deepInclude(error.report?.connections, { total: 3, cut: 2, idle: 1 })
      const cut = error.report?.cut ?? []
      assert.deepStrictEqual(cut.map(({ phase }) => phase), ["Active", "Active"])
      assert.isAbove(cut[0]!.bytesPending, 32 * 2 ** 20)
      yield* deaf.resume
      for (const peer of [deaf, patient]) assert.strictEqual(yield* peer.ending, "ECONNRESET")
      assert.strictEqual(yield* half.ending, "FIN")
    }))

  it.live("cuts a goodbye that its client does not let finish", () =>
    Effect.gen(function*() {
      const served = yield* serveTls({ handler: answer64 })
      const deaf = yield* connectTls(yield* served.listener.address, { ...client, paused: true })
      yield* deaf.send("go\n")
      yield* until("it writes", () => (connections(served)[0]?.bytesPending ?? 0) > 0)
      const error = yield* Effect.flip(served.listener.close({ deadline: "500 millis" }))
      assert.instanceOf(error, ListenerError.OperationTimedOut)
      yield* deaf.resume
      const { data, ending } = yield* deaf.rest
      assert.strictEqual(ending, "ECONNRESET")
      assert.isBelow(data.length, 64 * 2 ** 20)
    }))
})

describe("a TLS connection", () => {
  it.live("goes on when its client ends one side, and the client gets its answer", () =>
    Effect.gen(function*() {
      const holder = yield* makeHolder
      const served = yield* serveTls({ handler: holder.handler })
      const peer = yield* connectTls(yield* served.listener.address, client)
      yield* peer.send("hold on\n")
      yield* peer.end
      yield* holder.held(1)
      yield* holder.release
      const { data, ending } = yield* peer.rest
      assert.deepStrictEqual([data.toString(), ending], ["released hold on\n", "FIN"])
      yield* until("it is gone", () => connections(served).length === 0)
    }))

  for (const [halfOpen, goodbye] of [[true, "bye\n"], [false, ""]] as const) {
    it.live(`whose client ended before the first pull is no riddle, with halfOpen: ${halfOpen}`, () =>
      Effect.gen(function*() {
        const told = yield* Deferred.make<string>()
        const pulled = yield* Deferred.make<void>()
        const served = yield* serveTls({
          tls: { halfOpen },
          handler: Effect.fnUntraced(function*(connection) {
            const { pull } = yield* connection.socket.reader
            const writer = yield* connection.socket.writer
            yield* Deferred.await(pulled)
            const error = yield* Effect.flip(pull)
            yield* Effect.ignore(writer.write("bye\n"))
            yield* Deferred.succeed(told, String(error.reason))
          })
        })
        const peer = yield* connectTls(yield* served.listener.address, client)
        yield* peer.end
        yield* until("its end is out", () => peer.socket.writableFinished)
        // its end is with the kernel: some turns for whatever reads before it is pulled
        yield* turns(10)
        yield* Deferred.succeed(pulled, undefined)
        assert.match(yield* Deferred.await(told), /1000/)
        const { data, ending } = yield* peer.rest
        assert.deepStrictEqual([data.toString(), ending], [goodbye, "FIN"])
      }))
  }

  it.live("that breaks, by a reset or by what is no TLS, ends for itself only", () =>
    Effect.gen(function*() {
      const served = yield* serveTls()
      const address = yield* served.listener.address
      const well = yield* connectTls(address, client)
      const resetting = yield* connect(address, { paused: true })
      const secure = yield* connectTls(address, { ...client, socket: resetting.socket })
      yield* secure.send("hello\n")
      yield* secure.received(6)
      resetting.socket.resetAndDestroy()
      const tap = yield* wiretap(address)
      const babbling = yield* connectTls(address, { ...client, socket: tap.stream })
      yield* babbling.send("hello\n")
      yield* babbling.received(6)
      tap.stream.write("this is no TLS record")
      yield* until("both are gone", () => connections(served).length === 1)
      yield* well.send("hello\n")
      assert.strictEqual((yield* well.received(6)).toString(), "hello\n")
      assert.deepStrictEqual(served.log, [])
    }))

  it.live("is accepted when its handshake is done", () =>
    Effect.gen(function*() {
      const served = yield* serveTls()
      const accepted = yield* start(Effect.scoped(Effect.gen(function*() {
        const connection = yield* served.listener.accept
        const writer = yield* connection.socket.writer
        yield* writer.write("accepted\n")
      })))
      // `serve` and `accept` take turns, first come first served
      const first = yield* connectTls(yield* served.listener.address, client)
      yield* first.send("hello\n")
      const second = yield* connectTls(yield* served.listener.address, client)
      yield* Fiber.join(accepted)
      assert.strictEqual((yield* first.received(6)).toString(), "hello\n")
      assert.strictEqual((yield* second.rest).data.toString(), "accepted\n")
    }))

  it.live("leaves nothing behind in 40 lives", () =>
    Effect.gen(function*() {
      const life = (cycle: number) =>
        Effect.scoped(Effect.gen(function*() {
          const served = yield* serveTls({
            drain: { idleGrace: 0, deadline: cycle % 4 === 3 ? "10 millis" : "20 seconds" }
          })
          const address = yield* served.listener.address
          const peer = yield* connectTls(address, client)
          yield* peer.send("hello\n")
          yield* peer.received(6)
          const half = yield* connect(address)
          yield* half.send(Uint8Array.of(0x16, 0x03))
          const plain = yield* connect(address)
          yield* plain.send("GET / HTTP/1.1\r\n\r\n")
          yield* plain.ending
          if (cycle % 4 === 2) yield* served.listener.abort
          yield* Effect.ignore(served.listener.close())
        }))
      yield* life(0)
      const before = timers()
      const open = descriptors()
      for (let cycle = 0; cycle < 40; cycle++) yield* life(cycle)
      yield* untilDescriptors(open)
      yield* until("no timer is left", () => timers() <= before)
    }))
})

import type { BoundTransport, TransportConnection } from "@effect-listener/core/Transport"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { Socket } from "effect/socket"
import * as Net from "node:net"
import * as Contract from "../../core/src/internal/transport/receiving.ts"
import { netSocketOf } from "../src/internal/socket/nodeSocket.ts"
import {
  type ImmediateEffect,
  ImmediateTypeId,
  type Receiving,
  type ReceivingReader
} from "../src/internal/socket/receiving.ts"
import * as ClientsDuringBlock from "./support/clientsDuringBlock.ts"
import * as HeldScheduler from "./support/heldScheduler.ts"
import { portOf, until } from "./support/listening.ts"
import { connect, type Peer } from "./support/peer.ts"
import { sockets, turns } from "./support/resources.ts"

const listen = (options: Partial<NodeTcp.TransportOptions> = {}) =>
  NodeTcp.transport({ port: 0, host: "127.0.0.1", ...options }).bind

/** Accepts; the connection is destroyed when the scope closes. */
const accept = (bound: BoundTransport) =>
  Effect.tap(bound.accept, (connection) => Effect.addFinalizer(() => connection.destroy))

/** A connection and the peer at its other end. */
const pair = (options: { readonly halfOpen?: boolean; readonly paused?: boolean } = {}) =>
  Effect.gen(function*() {
    const bound = yield* listen({ halfOpen: options.halfOpen })
    const peer = yield* connect(bound.address, { paused: options.paused })
    const connection = yield* accept(bound)
    return { connection, peer } as const
  })

const textOf = (chunks: ReadonlyArray<Uint8Array | string>): string =>
  chunks.map((chunk) => typeof chunk === "string" ? chunk : Buffer.from(chunk).toString()).join("")

const immediate = <A, E>(effect: Effect.Effect<A, E>): ImmediateEffect<A, E> => {
  assert.isTrue(ImmediateTypeId in effect)
  return effect as ImmediateEffect<A, E>
}

/** What a pull or a write failed with: `1000`, or the reason and its cause. */
const nameOf = ({ reason }: Socket.SocketError): string => {
  if (reason._tag === "SocketCloseError") {
    return reason.closeReason === undefined ? `${reason.code}` : `${reason.code} ${reason.closeReason}`
  }
  const cause = reason.cause as { readonly code?: string; readonly message?: string } | undefined
  return `${reason._tag} ${cause?.code ?? cause?.message}`
}

const failureOf = <A>(effect: Effect.Effect<A, Socket.SocketError>): Effect.Effect<string, A> =>
  Effect.map(Effect.flip(effect), nameOf)

const closeError = (code: number, closeReason: string): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code, closeReason }) })

describe("NetConnection", () => {
  describe("reader", () => {
    it.live("fails with 1000 when the peer has ended its side, and writing goes on", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const { pull } = yield* connection.socket.reader
        const { write } = yield* connection.socket.writer
        yield* peer.send("last words")
        yield* peer.end
        assert.strictEqual(textOf(yield* pull), "last words")
        assert.strictEqual(yield* failureOf(pull), "1000")
        assert.strictEqual(yield* failureOf(pull), "1000")
        yield* write("an answer")
        assert.strictEqual((yield* peer.received(9)).toString(), "an answer")
      }))

    it.live("with halfOpen: false, ends our side when the peer has ended its own, after what was written", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair({ halfOpen: false })
        const { pull } = yield* connection.socket.reader
        const { write } = yield* connection.socket.writer
        const waiting = yield* Effect.forkChild(failureOf(pull), { startImmediately: true })
        yield* write("before")
        yield* peer.end
        assert.strictEqual(yield* Fiber.join(waiting), "1000")
        assert.deepStrictEqual(yield* peer.rest, { ending: "FIN", data: Buffer.from("before") })
        assert.include(yield* failureOf(write("after")), "SocketWriteError")
      }))

    it.live("fails with the error when the peer resets the connection", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const { pull } = yield* connection.socket.reader
        const waiting = yield* Effect.forkChild(failureOf(pull), { startImmediately: true })
        yield* connection.settled
        yield* peer.reset
        assert.strictEqual(yield* Fiber.join(waiting), "SocketReadError ECONNRESET")
        assert.strictEqual(yield* failureOf(pull), "SocketReadError ECONNRESET")
      }))

    it.live("fails with 1006 when the connection is destroyed", () =>
      Effect.gen(function*() {
        const { connection } = yield* pair()
        const { pull } = yield* connection.socket.reader
        const waiting = yield* Effect.forkChild(failureOf(pull), { startImmediately: true })
        yield* connection.destroy
        assert.strictEqual(yield* Fiber.join(waiting), "1006")
        assert.strictEqual(yield* failureOf(pull), "1006")
      }))

    it.live("reads no more than Node's buffer holds before it is pulled again", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const { pull } = yield* connection.socket.reader
        const sending = yield* Effect.forkChild(peer.send(Buffer.alloc(64 << 20)), { startImmediately: true })
        let taken = 0
        for (const chunk of yield* pull) taken += chunk.length
        yield* Effect.sleep(100)
        assert.isUndefined(sending.pollUnsafe())
        assert.isAtMost((connection.fast?.bytesIn() ?? 0) - taken, 256 << 10)
        while (taken < 64 << 20) for (const chunk of yield* pull) taken += chunk.length
        yield* Fiber.join(sending)
      }))

    it.live("closed, fails its pulls with 1006, and leaves writing and what was not taken alone", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const scope = yield* Scope.make()
        const first = yield* Scope.provide(connection.socket.reader, scope)
        const { write } = yield* connection.socket.writer
        const waiting = yield* Effect.forkChild(failureOf(first.pull), { startImmediately: true })
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* Fiber.join(waiting), "1006")
        yield* peer.send("for the next")
        assert.strictEqual(yield* failureOf(first.pull), "1006")
        yield* write("still here")
        assert.strictEqual((yield* peer.received(10)).toString(), "still here")
        const second = yield* connection.socket.reader
        assert.strictEqual(textOf(yield* second.pull), "for the next")
      }))

    it.live("does not upgrade to TLS", () =>
      Effect.gen(function*() {
        const { connection } = yield* pair()
        const reader = yield* connection.socket.reader
        assert.strictEqual(yield* failureOf(reader.upgrade()), "SocketUpgradeError undefined")
      }))

    it.live("gives pulls that wait at the same time a chunk each, first come first served", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const { pull } = yield* connection.socket.reader
        const one = yield* Effect.forkChild(pull, { startImmediately: true })
        const two = yield* Effect.forkChild(pull, { startImmediately: true })
        yield* peer.send("1")
        assert.strictEqual(textOf(yield* Fiber.join(one)), "1")
        yield* peer.send("2")
        assert.strictEqual(textOf(yield* Fiber.join(two)), "2")
      }))

    // see the same about accept
    it.live("loses no byte, after however many operations a pull is interrupted", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const { pull } = yield* connection.socket.reader
        const outcomes = new Set<string>()
        for (let operations = 0; operations < 20; operations++) {
          for (const arrives of ["before", "while it waits"]) {
            let text = ""
            const take = Effect.map(pull, (chunks) => {
              text = textOf(chunks)
            })
            const held = HeldScheduler.make()
            const received = (connection.fast?.bytesIn() ?? 0) + 1
            const arrival = Effect.andThen(
              peer.send("x"),
              until("it is here", () => connection.fast?.bytesIn() === received)
            )
            if (arrives === "before" && connection.fast?.bytesIn() !== 0) yield* arrival
            const fiber = yield* Effect.forkChild(held.run(take), { startImmediately: true })
            if (connection.fast?.bytesIn() !== received) {
              held.release()
              yield* arrival
            }
            held.step(operations)
            fiber.interruptUnsafe()
            held.release()
            outcomes.add(`${arrives}: ${text === "" ? "interrupted" : "taken"}`)
            if (text === "") yield* take
            assert.strictEqual(text, "x")
          }
        }
        assert.strictEqual(outcomes.size, 4)
      }))

    it.live("wakes the next pull, after however many operations the first is interrupted", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const { pull } = yield* connection.socket.reader
        const outcomes = new Set<string>()
        for (let operations = 0; operations < 20; operations++) {
          let taken = false
          const take = Effect.map(pull, () => {
            taken = true
          })
          const held = HeldScheduler.make()
          const first = yield* Effect.forkChild(held.run(take), { startImmediately: true })
          held.release()
          const second = yield* Effect.forkChild(pull, { startImmediately: true })
          const received = (connection.fast?.bytesIn() ?? 0) + 1
          yield* peer.send("x")
          yield* until("it is here", () => connection.fast?.bytesIn() === received)
          held.step(operations)
          first.interruptUnsafe()
          held.release()
          outcomes.add(taken ? "taken" : "interrupted")
          if (!taken) assert.strictEqual(textOf(yield* Fiber.join(second)), "x")
          yield* Fiber.interrupt(second)
        }
        assert.strictEqual(outcomes.size, 2)
      }))
  })

  describe("watchPulls", () => {
    it.live("tells of a pull that waits, takes, fails or is interrupted, before it is resumed", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const told: Array<number | string> = []
        connection.fast!.watchPulls!({ pulls: (waiting) => told.push(waiting) })
        const { pull } = yield* connection.socket.reader
        const pulled = Effect.tap(pull, (chunks) => Effect.sync(() => told.push(textOf(chunks))))
        const waiting = yield* Effect.forkChild(pulled, { startImmediately: true })
        yield* peer.send("one")
        yield* Fiber.join(waiting)
        yield* peer.send("two")
        yield* until("two is buffered", () => connection.fast?.bytesIn() === 6)
        yield* pulled
        yield* Fiber.interrupt(yield* Effect.forkChild(pull, { startImmediately: true }))
        const failed = yield* Effect.forkChild(failureOf(pull), { startImmediately: true })
        connection.endReading(closeError(1001, "draining"))
        yield* Fiber.join(failed)
        assert.deepStrictEqual(told, [1, 0, "one", 1, 0, "two", 1, 0, 1, 0])
      }))
  })

  it("has the contract that runForEach looks for", () => {
    const reader: (own: ReceivingReader) => Contract.ReceivingReader = (own) => own
    const effect: <A, E>(own: ImmediateEffect<A, E>) => Contract.ImmediateEffect<A, E> = (own) => own
    assert.strictEqual(ImmediateTypeId, Contract.ImmediateTypeId)
    assert.isFunction(reader)
    assert.isFunction(effect)
  })

  describe("receive", () => {
    /** A receiver that notes what it is told, and does this with a chunk. */
    const receiving = Effect.fnUntraced(
      function*(onChunk: (receiving: Receiving, connection: TransportConnection) => boolean) {
        const { connection, peer } = yield* pair()
        const told: Array<number | string> = []
        connection.fast!.watchPulls!({ pulls: (waiting) => told.push(waiting) })
        const scope = yield* Scope.make()
        const reader = yield* Scope.provide(connection.socket.reader, scope)
        assert.isTrue("receive" in reader)
        const { receive } = reader as ReceivingReader
        const given: Receiving = receive.call(reader, {
          chunk: (chunk) => {
            told.push(Buffer.from(chunk).toString())
            return onChunk(given, connection)
          },
          end: (error) => told.push(nameOf(error))
        })
        const untilTold = (last: number | string) => until(`told ${last}`, () => told.at(-1) === last)
        return { connection, given, peer, reader, scope, told, untilTold } as const
      }
    )

    it.live("gives one chunk after another, until the peer ends", () =>
      Effect.gen(function*() {
        const { peer, told, untilTold } = yield* receiving(() => true)
        yield* peer.send("one")
        yield* until("one is given", () => told.includes("one"))
        yield* peer.send("two")
        yield* until("two is given", () => told.includes("two"))
        yield* peer.end
        yield* untilTold("1000")
        assert.deepStrictEqual(told, [1, 0, "one", 1, 0, "two", 1, 0, "1000"])
      }))

    it.live("gives none to one that does not wait, and then what has come", () =>
      Effect.gen(function*() {
        const { connection, given, peer, told, untilTold } = yield* receiving(() => false)
        yield* peer.send("one")
        yield* untilTold("one")
        yield* peer.send("two")
        yield* until("two is here", () => connection.fast?.bytesIn() === 6)
        assert.deepStrictEqual(told, [1, 0, "one"])
        given.next()
        assert.deepStrictEqual(told, [1, 0, "one", 1, 0, "two"])
      }))

    it.live("gives none to one that has stopped: it is the next one's", () =>
      Effect.gen(function*() {
        const { given, peer, reader, told } = yield* receiving(() => true)
        given.stop()
        yield* peer.send("one")
        assert.strictEqual(textOf(yield* reader.pull), "one")
        given.next()
        assert.deepStrictEqual(told, [1, 0, 1, 0])
      }))

    it.live("gives none to one that stops while it is given one", () =>
      Effect.gen(function*() {
        const { peer, reader, told, untilTold } = yield* receiving((given) => {
          given.stop()
          return true
        })
        yield* peer.send("one")
        yield* untilTold("one")
        yield* peer.send("two")
        assert.strictEqual(textOf(yield* reader.pull), "two")
        assert.deepStrictEqual(told, [1, 0, "one", 1, 0])
      }))

    it.live("ends when reading is ended, also while a chunk is given", () =>
      Effect.gen(function*() {
        for (const waits of [true, false]) {
          const { given, peer, told, untilTold } = yield* receiving((_given, connection) => {
            assert.isTrue(connection.endReading(closeError(1001, "draining")))
            return waits
          })
          yield* peer.send("one")
          yield* until("one is given", () => told.includes("one"))
          if (!waits) given.next()
          yield* untilTold("1001 draining")
          assert.deepStrictEqual(told, [1, 0, "one", "1001 draining"])
        }
      }))

    it.live("ends with its reader, also while a chunk is given", () =>
      Effect.gen(function*() {
        const waiting = yield* receiving(() => true)
        yield* Scope.close(waiting.scope, Exit.void)
        assert.deepStrictEqual(waiting.told, [1, 0, "1006"])

        const { peer, scope, told, untilTold } = yield* receiving(() => {
          Effect.runSync(Scope.close(scope, Exit.void))
          return true
        })
        yield* peer.send("one")
        yield* untilTold("1006")
        assert.deepStrictEqual(told, [1, 0, "one", "1006"])
      }))
  })

  describe("endReading", () => {
    /** A connection whose reader has taken "one", and has "two" to take. */
    const buffered = Effect.gen(function*() {
      const { connection, peer } = yield* pair()
      const { pull } = yield* connection.socket.reader
      yield* peer.send("one")
      assert.strictEqual(textOf(yield* pull), "one")
      yield* peer.send("two")
      yield* until("two is buffered", () => connection.fast?.bytesIn() === 6)
      return { connection, pull } as const
    })

    it.live("fails the waiting pull and all later ones, and leaves writing alone", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const { pull } = yield* connection.socket.reader
        const { write } = yield* connection.socket.writer
        const waiting = yield* Effect.forkChild(failureOf(pull), { startImmediately: true })
        yield* connection.settled
        assert.isTrue(connection.endReading(closeError(1001, "draining")))
        assert.strictEqual(yield* Fiber.join(waiting), "1001 draining")
        yield* peer.send("too late")
        yield* connection.settled
        assert.strictEqual(yield* failureOf(pull), "1001 draining")
        yield* write("bye")
        assert.strictEqual((yield* peer.received(3)).toString(), "bye")
      }))

    it.live("does nothing while bytes are buffered", () =>
      Effect.gen(function*() {
        const { connection, pull } = yield* buffered
        assert.isFalse(connection.endReading(closeError(1001, "draining")))
        assert.strictEqual(textOf(yield* pull), "two")
        assert.isTrue(connection.endReading(closeError(1001, "draining")))
        assert.strictEqual(yield* failureOf(pull), "1001 draining")
      }))

    it.live("gives what the handler is entitled to, and nothing that came after it", () =>
      Effect.gen(function*() {
        const { connection, pull } = yield* buffered
        assert.strictEqual(false, connection.fast?.endReadingAfter?.(closeError(1001, "draining"), 4))
        assert.strictEqual(true, connection.fast?.endReadingAfter?.(closeError(1001, "draining"), 3))
        assert.strictEqual(yield* failureOf(pull), "1001 draining")
      }))

    it.live("before the first pull, has nothing to lose", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        yield* peer.send("never read")
        yield* connection.settled
        assert.isTrue(connection.endReading(closeError(1001, "draining")))
        const { pull } = yield* connection.socket.reader
        assert.strictEqual(yield* failureOf(pull), "1001 draining")
      }))
  })

  describe("settled", () => {
    const judge = (when: "before" | "after") =>
      Effect.gen(function*() {
        const bound = yield* listen()
        const target: Net.NetConnectOpts = { host: "127.0.0.1", port: portOf(bound.address) }
        const crowd = yield* ClientsDuringBlock.make(target, { clients: 100, request: "hello" })
        crowd.arriveWhileBlocked()
        yield* bound.stop
        // a pull waits on each of them; whether anything was given to it is looked at afterwards
        const waiting = yield* Effect.forEach(
          Array.from({ length: 100 }),
          () =>
            Effect.gen(function*() {
              const connection = Effect.runSync(bound.accept)
              yield* Effect.addFinalizer(() => connection.destroy)
              const { pull } = yield* connection.socket.reader
              const fiber = yield* Effect.forkChild(pull, { startImmediately: true })
              return { connection, fiber } as const
            })
        )
        if (when === "after") {
          yield* Effect.forEach(waiting, ({ connection }) => connection.settled, {
            concurrency: "unbounded",
            discard: true
          })
        }
        return waiting.filter(({ fiber }) => fiber.pollUnsafe() !== undefined).length
      })

    it.live("has given what sat in the kernel to 100 of 100 waiting pulls, and to none of them before", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* judge("before"), 0)
        for (let i = 0; i < 3; i++) assert.strictEqual(yield* judge("after"), 100)
      }))

    it.live("lets a whole read phase pass, from whichever phase of the loop it is called", () =>
      Effect.gen(function*() {
        for (const phase of ["timer", "poll", "check"]) {
          const { connection, peer } = yield* pair()
          const other = yield* pair()
          const { pull } = yield* connection.socket.reader
          const fiber = yield* Effect.forkChild(pull, { startImmediately: true })
          yield* connection.settled
          // in the poll phase: resumed by the arrival of something on another connection
          if (phase === "timer") yield* Effect.sleep(5)
          else if (phase === "check") yield* turns(1)
          else {
            const reader = yield* other.connection.socket.reader
            yield* other.peer.send("x")
            yield* reader.pull
          }
          blockingSend(peer, "hello")
          yield* connection.settled
          assert.isDefined(fiber.pollUnsafe(), phase)
        }
      }))

    it.live("shares its turns between all that wait, and can be interrupted by each of them", () =>
      Effect.gen(function*() {
        const { connection } = yield* pair()
        const immediates = () => process.getActiveResourcesInfo().filter((kind) => kind === "Immediate").length
        const before = immediates()
        const fibers = Array.from({ length: 10_000 }, () => Effect.runFork(connection.settled))
        assert.strictEqual(immediates() - before, 1)
        const [first, ...rest] = fibers
        yield* Fiber.interrupt(first!)
        assert.isTrue(Exit.isFailure(yield* Fiber.await(first!)))
        for (const fiber of rest) yield* Fiber.join(fiber)
      }))
  })

  describe("writer", () => {
    it.live("waits while the peer does not read, and delivers everything in order", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair({ paused: true })
        const { write, writeAll } = yield* connection.socket.writer
        const all: Array<Uint8Array> = []
        const writing = yield* Effect.forkChild(
          Effect.gen(function*() {
            for (let i = 0; i < 64; i++) {
              const chunk = Buffer.alloc(256 << 10, i)
              all.push(chunk)
              yield* i % 2 === 0 ? write(chunk) : writeAll([chunk.subarray(0, 1), chunk.subarray(1)])
            }
          }),
          { startImmediately: true }
        )
        yield* Effect.sleep(100)
        assert.isUndefined(writing.pollUnsafe())
        assert.isAbove(connection.bytesPending(), 0)
        yield* peer.resume
        yield* Fiber.join(writing)
        const expected = Buffer.concat(all)
        assert.isTrue(expected.equals(yield* peer.received(expected.length)))
        assert.strictEqual(connection.fast?.bytesOut(), expected.length)
        assert.strictEqual(connection.bytesPending(), 0)
      }))

    it.live("needs no fiber to begin, and none when it does not wait", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair({ paused: true })
        const { write } = yield* connection.socket.writer
        const small = immediate(write("small"))
        assert.strictEqual(connection.fast?.bytesOut(), 0)
        assert.deepStrictEqual(small.begin(), Exit.void)
        assert.strictEqual(connection.fast?.bytesOut(), 5)
        const left = immediate(write(Buffer.alloc(16 << 20))).begin()
        assert.isFalse(Exit.isExit(left))
        const waiting = yield* Effect.forkChild(left, { startImmediately: true })
        assert.isUndefined(waiting.pollUnsafe())
        yield* peer.resume
        yield* Fiber.join(waiting)
        assert.strictEqual((yield* peer.received(5 + (16 << 20))).length, 5 + (16 << 20))
        assert.deepStrictEqual(immediate(write(new Socket.CloseEvent(1000))).begin(), Exit.void)
        assert.strictEqual(yield* peer.ending, "FIN")
        assert.isTrue(Exit.isFailure(yield* Effect.exit(immediate(write("more")).begin())))
      }))

    it.live("can be used by several fibers at once", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair({ paused: true })
        const { write } = yield* connection.socket.writer
        const fibers = yield* Effect.forEach(
          Array.from({ length: 10 }),
          () => Effect.forkChild(write(Buffer.alloc(1 << 20)), { startImmediately: true })
        )
        yield* peer.resume
        for (const fiber of fibers) yield* Fiber.join(fiber)
        assert.strictEqual((yield* peer.received(10 << 20)).length, 10 << 20)
      }))

    it.live("takes strings", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const { write, writeAll } = yield* connection.socket.writer
        yield* write("é")
        yield* writeAll(["è", Buffer.from("à")])
        assert.strictEqual((yield* peer.received(6)).toString(), "éèà")
      }))

    it.live("fails when the peer resets the connection in the middle of a write", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair({ paused: true })
        const { write } = yield* connection.socket.writer
        const writing = yield* Effect.forkChild(failureOf(write(Buffer.alloc(16 << 20))), { startImmediately: true })
        yield* turns(5)
        assert.isUndefined(writing.pollUnsafe())
        yield* peer.reset
        assert.match(yield* Fiber.join(writing), /^SocketWriteError (ECONNRESET|EPIPE)$/)
        assert.match(yield* failureOf(write("more")), /^SocketWriteError (ECONNRESET|EPIPE)$/)
      }))

    it.live("fails, and kills nothing, after the end of writing", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const scope = yield* Scope.make()
        const { pull } = yield* connection.socket.reader
        const writer = yield* Scope.provide(connection.socket.writer, scope)
        yield* writer.write("all")
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(
          yield* failureOf(writer.write("more")),
          "SocketWriteError the socket is ended: it takes no more bytes"
        )
        assert.include(yield* failureOf(writer.writeAll(["more", "and more"])), "SocketWriteError")
        // releasing the writer ended our side, and only ours
        assert.deepStrictEqual(yield* peer.rest, { ending: "FIN", data: Buffer.from("all") })
        yield* peer.send("heard")
        assert.strictEqual(textOf(yield* pull), "heard")
      }))

    it.live("fails after the connection was destroyed", () =>
      Effect.gen(function*() {
        const { connection } = yield* pair()
        const { write, writeAll } = yield* connection.socket.writer
        yield* connection.destroy
        const closed = "SocketWriteError the socket is closed: it takes no more bytes"
        assert.strictEqual(yield* failureOf(write("x")), closed)
        assert.strictEqual(yield* failureOf(writeAll(["x", "y"])), closed)
      }))

    it.live("lets a waiting write go when our side is ended meanwhile, or destroyed", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair({ paused: true })
        const scope = yield* Scope.make()
        const writer = yield* Scope.provide(connection.socket.writer, scope)
        const waiting = yield* Effect.forkChild(writer.write(Buffer.alloc(4 << 20)), { startImmediately: true })
        yield* Scope.close(scope, Exit.void)
        yield* peer.resume
        yield* Fiber.join(waiting)
        assert.strictEqual((yield* peer.rest).data.length, 4 << 20)

        const other = yield* pair({ paused: true })
        const { write } = yield* other.connection.socket.writer
        const cut = yield* Effect.forkChild(failureOf(write(Buffer.alloc(16 << 20))), { startImmediately: true })
        yield* turns(3)
        yield* other.connection.destroy
        assert.include(yield* Fiber.join(cut), "SocketWriteError")
      }))

    it.live("ends the conversation on a CloseEvent of 1000, and loses nothing", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair({ paused: true })
        const { pull } = yield* connection.socket.reader
        const { write } = yield* connection.socket.writer
        const pulling = yield* Effect.forkChild(failureOf(pull), { startImmediately: true })
        const writing = yield* Effect.forkChild(write(Buffer.alloc(4 << 20)), { startImmediately: true })
        yield* write(new Socket.CloseEvent(1000, "done"))
        assert.strictEqual(yield* Fiber.join(pulling), "1000 done")
        yield* peer.resume
        yield* Fiber.join(writing)
        const { data, ending } = yield* peer.rest
        assert.deepStrictEqual([ending, data.length], ["FIN", 4 << 20])
      }))

    it.live("breaks off on a CloseEvent above 1000", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        const { pull } = yield* connection.socket.reader
        const { write } = yield* connection.socket.writer
        const pulling = yield* Effect.forkChild(failureOf(pull), { startImmediately: true })
        yield* write(new Socket.CloseEvent(1011, "broken"))
        assert.strictEqual(yield* Fiber.join(pulling), "SocketReadError closed with code 1011: broken")
        yield* peer.ending
        assert.isTrue(netSocketOf(connection)?.destroyed)
      }))
  })

  describe("destroy", () => {
    it.live("resets, as often as it is called", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair()
        yield* connection.destroy
        yield* connection.destroy
        assert.strictEqual(yield* peer.ending, "ECONNRESET")
        yield* connection.destroy
      }))

    it.live("drops what is unsent", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair({ paused: true })
        const { write } = yield* connection.socket.writer
        yield* Effect.forkChild(write(Buffer.alloc(64 << 20)), { startImmediately: true })
        yield* connection.destroy
        yield* peer.resume
        const { data, ending } = yield* peer.rest
        assert.strictEqual(ending, "ECONNRESET")
        assert.isBelow(data.length, 64 << 20)
      }))

    it.live("leaves no handle behind, also in the moment of the FIN", () =>
      Effect.gen(function*() {
        yield* until("no sockets of other tests", () => sockets() === 0)
        for (const after of [0, 1, 2, 3]) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { connection, peer } = yield* pair()
            yield* Effect.scoped(Effect.andThen(connection.socket.writer, ({ write }) => write("x")))
            yield* turns(after)
            yield* connection.destroy
            yield* peer.ending
          }))
          yield* until(`no sockets, destroyed ${after} turns after the end`, () => sockets() === 0)
        }
      }))

    it.live("survives what comes after the end: errors of the socket are no uncaught exceptions", () =>
      Effect.gen(function*() {
        const { connection } = yield* pair()
        const socket = netSocketOf(connection)!
        yield* connection.destroy
        // what nothing listens for is thrown
        assert.isTrue(socket.emit("error", new Error("late")))
        yield* turns(3)
        assert.isTrue(socket.emit("error", new Error("later")))
      }))
  })

  it.live("attaches listeners when they are needed, the same ones for all", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* pair()
      const socket = netSocketOf(connection)!
      const bare = new Net.Socket()
      const added = () =>
        socket.eventNames().filter((name) => socket.listenerCount(name) > bare.listenerCount(name)).map(String).sort()
      assert.deepStrictEqual(added(), ["close", "error"])
      const { pull } = yield* connection.socket.reader
      assert.deepStrictEqual(added(), ["close", "error"])
      yield* peer.send("x")
      yield* pull
      assert.deepStrictEqual(added(), ["close", "data", "end", "error"])
      yield* peer.send("y")
      yield* pull
      for (const name of added()) {
        assert.strictEqual(socket.listenerCount(name) - bare.listenerCount(name), 1, name)
      }
    }))
})

/** Sends, and does not let the event loop turn before the kernel of this machine has delivered it. */
const blockingSend = (peer: Peer, text: string): void => {
  // a small write to an empty socket reaches the kernel before `write` returns, and loopback is immediate
  peer.socket.write(text)
}

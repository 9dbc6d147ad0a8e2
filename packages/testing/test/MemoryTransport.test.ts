import { ListenerError, Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as NetAddress from "effect/net/NetAddress"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { TestClock } from "effect/testing"

const text = (chunks: ReadonlyArray<Uint8Array | string>): string =>
  chunks.map((chunk) => typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk)).join("")

const now = { startImmediately: true } as const

const linger: Transport.LingerOptions = {
  idle: Duration.millis(500),
  total: Duration.seconds(30),
  bytes: 1024
}

/** What a pull or a write failed with: its reason, and the code of a close. */
const reason = (error: Socket.SocketError): string =>
  error.reason._tag === "SocketCloseError" ? `${error.reason._tag} ${error.reason.code}` : error.reason._tag

const draining = new Socket.SocketError({
  reason: new Socket.SocketCloseError({ code: 1001, closeReason: "draining" })
})

/** A bound transport with one client that was accepted. */
const pair = Effect.fnUntraced(function*(options?: MemoryTransport.Options) {
  const transport = yield* MemoryTransport.make(options)
  const bound = yield* transport.bind
  const client = yield* transport.connect
  const connection = yield* bound.accept
  const reader = yield* connection.socket.reader
  const scope = yield* Scope.make()
  const writer = yield* Scope.provide(connection.socket.writer, scope)
  const pullText = Effect.map(reader.pull, text)
  return { transport, bound, client, connection, reader, writer, pullText, endWriter: Scope.close(scope, Exit.void) }
})

const emfile = new Transport.TransportAcceptError({ class: "exhausted", code: "EMFILE", cause: "test" })
const aborted = new Transport.TransportAcceptError({ class: "transient", code: "ECONNABORTED", cause: "test" })
const dead = new Transport.TransportAcceptError({ class: "fatal", code: "ENOTSOCK", cause: "test" })

/** Yields before every operation of a fiber, so that an interruption can come between any two. */
class EveryStep extends Scheduler.MixedScheduler {
  readonly #passes = new WeakMap<object, number>()
  override shouldYield(fiber: object): boolean {
    const passes = this.#passes.get(fiber) ?? 0
    // going on after a yield asks twice: for the yield's own result and for the operation it was put before
    this.#passes.set(fiber, passes === 0 ? 2 : passes - 1)
    return passes === 0
  }
}

const everyStep = Effect.provideService(Scheduler.Scheduler, new EveryStep())

/** Runs a task many turns late. */
const manyTurnsLater = (task: () => void) => {
  let left = 20
  const turn = () => {
    if (--left === 0) task()
    else if (left > 0) setImmediate(turn)
  }
  setImmediate(turn)
  return () => {
    left = 0
  }
}

/** Whatever goes through the dispatcher of a fiber comes late. */
const starved = Effect.provideService(Scheduler.Scheduler, new Scheduler.MixedScheduler("async", manyTurnsLater))

/** Both. */
const starvedAtEveryStep = Effect.provideService(Scheduler.Scheduler, new EveryStep("async", manyTurnsLater))

describe("MemoryTransport", () => {
  it("runs in Effect.runSync from bind to goodbye", () => {
    const program = Effect.gen(function*() {
      const { client, connection, pullText, transport, writer } = yield* pair()
      yield* client.write("hello")
      yield* writer.write(`echo ${yield* pullText}`)
      yield* client.end
      yield* connection.goodbye("none")
      return [yield* client.readAllText, yield* client.ended, yield* transport.open] as const
    })
    assert.deepStrictEqual(Effect.runSync(Effect.scoped(program)), ["echo hello", "Fin", 0])
  })

  it.effect("has no room for less than a byte", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(MemoryTransport.make({ bufferSize: 0 }))
      assert.isTrue(Exit.isFailure(exit) && exit.cause.reasons.some((reason) => reason._tag === "Die"))
    }))

  describe("bind", () => {
    it.effect("takes its address, and gives it back with its scope", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        assert.strictEqual(NetAddress.formatSocketAddress(transport.address), "127.0.0.1:1")
        const scope = yield* Scope.make()
        const bound = yield* Scope.provide(transport.bind, scope)
        assert.deepStrictEqual(bound.address, transport.address)
        const error = yield* Effect.flip(transport.bind)
        assert.strictEqual(error._tag, "AddressInUse")
        yield* Scope.close(scope, Exit.void)
        yield* transport.bind
      }))

    it.effect("is refused while another transport of the network has the address", () =>
      Effect.gen(function*() {
        const network = yield* MemoryTransport.makeNetwork
        const first = yield* MemoryTransport.make({ network })
        const second = yield* MemoryTransport.make({ network, address: first.address })
        const other = yield* MemoryTransport.make({ network })
        const scope = yield* Scope.make()
        const bound = yield* Scope.provide(first.bind, scope)
        yield* other.bind
        assert.strictEqual((yield* Effect.flip(second.bind))._tag, "AddressInUse")
        // stopped is enough: nothing listens
        yield* bound.stop
        const successor = yield* second.bind
        yield* Scope.close(scope, Exit.void)
        yield* first.connect
        yield* successor.accept
      }))

    it.effect("fails once with the error it was given", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        yield* transport.failBind(Transport.TransportBindError.AccessDenied({ address: "127.0.0.1:1" }))
        assert.strictEqual((yield* Effect.flip(transport.bind))._tag, "AccessDenied")
        yield* transport.bind
      }))

    it.effect("takes bindLatency, and interrupting it leaves nothing bound", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ bindLatency: "1 second" })
        const scope = yield* Scope.make()
        const binding = yield* Effect.forkChild(Scope.provide(transport.bind, scope), now)
        yield* TestClock.adjust("999 millis")
        assert.strictEqual((yield* Effect.flip(transport.connect)).reason, "NotListening")
        yield* Fiber.interrupt(binding)
        const again = yield* Effect.forkChild(Scope.provide(transport.bind, scope), now)
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(again)
        yield* transport.connect
        yield* Scope.close(scope, Exit.void)
      }))

    it.effect("closing its scope ends queued clients with a FIN, refuses others and fails a waiting accept", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const scope = yield* Scope.make()
        const bound = yield* Scope.provide(transport.bind, scope)
        const queued = yield* transport.connect
        const other = yield* transport.connect
        const taken = yield* bound.accept
        const taken2 = yield* bound.accept
        const waiting = yield* Effect.forkChild(bound.accept, now)
        yield* Scope.close(scope, Exit.void)
        const error = yield* Effect.flip(Fiber.join(waiting))
        assert.strictEqual(error.class, "fatal")
        assert.strictEqual((yield* Effect.flip(transport.connect)).reason, "NotListening")
        // handed over: not touched
        assert.deepStrictEqual([yield* queued.state, yield* other.state], ["Open", "Open"])
        yield* taken.destroy
        yield* taken2.destroy
        yield* Effect.scoped(Effect.gen(function*() {
          yield* transport.bind
          yield* Effect.asVoid(transport.connect)
          assert.strictEqual(yield* transport.open, 1)
        }))
        assert.strictEqual(yield* transport.open, 0)
      }))

    it.effect("a connection that was handed over and given back after the bind's end is ended too", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ resumeLate: true })
        const scope = yield* Scope.make()
        const bound = yield* Scope.provide(transport.bind, scope)
        const accepting = yield* Effect.forkChild(bound.accept, now)
        const client = yield* transport.connect
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* client.state, "Open")
        yield* Fiber.interrupt(accepting)
        assert.deepStrictEqual([yield* client.state, yield* transport.open], ["Fin", 0])
      }))

    it.effect("a queued client that waits for room is not left waiting", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ bufferSize: 4 })
        const scope = yield* Scope.make()
        yield* Scope.provide(transport.bind, scope)
        const client = yield* transport.connect
        const writing = yield* Effect.forkChild(client.write("too much"), now)
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.await(writing)
        assert.strictEqual(yield* client.ended, "Fin")
        assert.strictEqual(yield* client.state, "Reset")
      }))

    it.effect("a queued client sees the FIN of the bind's end, what it sent is dropped", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const scope = yield* Scope.make()
        yield* Scope.provide(transport.bind, scope)
        const client = yield* transport.connect
        yield* client.write("request")
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* client.ended, "Fin")
        assert.strictEqual(yield* transport.open, 0)
      }))
  })

  describe("connect", () => {
    it.effect("succeeds before any accept, first come first served", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        const one = yield* transport.connect
        const two = yield* transport.connect
        assert.strictEqual(yield* transport.queued, 2)
        const first = yield* bound.accept
        const second = yield* bound.accept
        assert.deepStrictEqual([first.remote, second.remote], [one.local, two.local])
        assert.notDeepEqual(one.local, two.local)
        assert.deepStrictEqual([first.local, one.remote, first.protocol], [
          transport.address,
          transport.address,
          "memory"
        ])
        assert.deepStrictEqual([yield* transport.queued, yield* transport.open], [0, 2])
      }))

    it.effect("is refused when nothing listens, when it is stopped, and when the accept queue is full", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ backlog: 2 })
        const refused = Effect.map(Effect.flip(transport.connect), (error) => `${error._tag} ${error.reason}`)
        assert.strictEqual(yield* refused, "ConnectionRefused NotListening")
        const bound = yield* transport.bind
        yield* transport.connect
        yield* transport.connect
        assert.strictEqual(yield* refused, "ConnectionRefused BacklogFull")
        yield* bound.accept
        yield* transport.connect
        yield* bound.stop
        assert.strictEqual(yield* refused, "ConnectionRefused NotListening")
      }))

    it.effect("its scope's end closes the socket", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        const scope = yield* Scope.make()
        const client = yield* Scope.provide(transport.connect, scope)
        const connection = yield* bound.accept
        const reader = yield* connection.socket.reader
        const writer = yield* connection.socket.writer
        yield* client.write("last words")
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(text(yield* reader.pull), "last words")
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketCloseError 1000")
        // nothing is there to read it: the answer to it is a reset
        yield* writer.write("answer")
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketReadError")
        assert.strictEqual(reason(yield* Effect.flip(writer.write("more"))), "SocketWriteError")
      }))

    it.effect("its scope's end drops what the kernel has not taken", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ bufferSize: 4 })
        const bound = yield* transport.bind
        const scope = yield* Scope.make()
        const client = yield* Scope.provide(transport.connect, scope)
        const connection = yield* bound.accept
        const reader = yield* connection.socket.reader
        const writing = yield* Effect.forkChild(client.write("12345678"), now)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual((yield* Effect.flip(Fiber.join(writing))).how, "Closed")
        assert.strictEqual(text(yield* reader.pull), "1234")
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketCloseError 1000")
        // the reset comes in the middle of this write
        const writer = yield* connection.socket.writer
        assert.strictEqual(reason(yield* Effect.flip(writer.write("12345678"))), "SocketWriteError")
      }))

    it.effect("its scope's end with unread input resets", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        const scope = yield* Scope.make()
        yield* Scope.provide(transport.connect, scope)
        const connection = yield* bound.accept
        const reader = yield* connection.socket.reader
        const writer = yield* connection.socket.writer
        yield* writer.write("unread")
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketReadError")
      }))
  })

  describe("accept", () => {
    it.effect("completes synchronously while connections are queued, also when resumed late", () =>
      Effect.gen(function*() {
        for (const resumeLate of [false, true]) {
          const transport = yield* MemoryTransport.make({ resumeLate })
          const bound = yield* transport.bind
          yield* transport.connect
          const accepting = yield* Effect.forkChild(bound.accept, now)
          assert.isDefined(accepting.pollUnsafe())
        }
      }))

    it.effect("serves those that wait in their order", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        const order: Array<string> = []
        const accepts = yield* Effect.forEach(
          ["a", "b", "c"],
          (name) => Effect.forkChild(Effect.map(bound.accept, () => order.push(name)), now)
        )
        assert.strictEqual(yield* transport.waiting, 3)
        yield* transport.connect
        yield* transport.connect
        yield* transport.connect
        yield* Fiber.joinAll(accepts)
        assert.deepStrictEqual(order, ["a", "b", "c"])
      }))

    it.effect("interrupted while it waits, it is out of the line", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        const first = yield* Effect.forkChild(bound.accept, now)
        const second = yield* Effect.forkChild(bound.accept, now)
        yield* Fiber.interrupt(first)
        assert.strictEqual(yield* transport.waiting, 1)
        yield* transport.connect
        yield* Fiber.join(second)
      }))

    it.effect("resumed late, interrupted after the hand-over: the next accept gets the connection", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ resumeLate: true })
        const bound = yield* transport.bind
        const first = yield* Effect.forkChild(bound.accept, now)
        const second = yield* Effect.forkChild(bound.accept, now)
        const one = yield* transport.connect
        const two = yield* transport.connect
        const three = yield* transport.connect
        assert.deepStrictEqual([yield* transport.waiting, yield* transport.queued], [0, 3])
        assert.isUndefined(first.pollUnsafe())
        // in the wrong order on purpose: the line is sorted by arrival
        second.interruptUnsafe()
        first.interruptUnsafe()
        const taken = [yield* bound.accept, yield* bound.accept, yield* bound.accept]
        assert.deepStrictEqual(taken.map(({ remote }) => remote), [one.local, two.local, three.local])
      }))

    it.effect("resumed late, interrupted one after the other: the order stays", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ resumeLate: true })
        const bound = yield* transport.bind
        const first = yield* Effect.forkChild(bound.accept, now)
        const second = yield* Effect.forkChild(bound.accept, now)
        const one = yield* transport.connect
        const two = yield* transport.connect
        first.interruptUnsafe()
        second.interruptUnsafe()
        const taken = [yield* bound.accept, yield* bound.accept]
        assert.deepStrictEqual(taken.map(({ remote }) => remote), [one.local, two.local])
      }))

    it.effect("a handler that connects again in the same call gets each connection once", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        const taken: Array<NetAddress.SocketAddress> = []
        const scope = yield* Effect.scope
        yield* Effect.forkChild(
          Effect.gen(function*() {
            while (true) {
              taken.push((yield* bound.accept).remote)
              if (taken.length < 5) yield* Scope.provide(transport.connect, scope)
            }
          }),
          now
        )
        yield* transport.connect
        assert.strictEqual(new Set(taken).size, 5)
        assert.strictEqual(yield* transport.queued, 0)
      }))

    it.effect("resumed late, interrupted after the hand-over while others wait: the first of them gets it", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ resumeLate: true })
        const bound = yield* transport.bind
        const first = yield* Effect.forkChild(bound.accept, now)
        const second = yield* Effect.forkChild(bound.accept, now)
        const one = yield* transport.connect
        yield* Fiber.interrupt(first)
        assert.deepStrictEqual((yield* Fiber.join(second)).remote, one.local)
      }))

    for (const resumeLate of [false, true]) {
      it.live(`loses no connection wherever it is interrupted (resumed ${resumeLate ? "late" : "at once"})`, () =>
        Effect.gen(function*() {
          const outcomes = new Set<string>()
          for (let position = 0; position < 40; position++) {
            for (const queuedBefore of [false, true]) {
              yield* Effect.scoped(Effect.gen(function*() {
                const transport = yield* MemoryTransport.make({ resumeLate })
                const bound = yield* transport.bind
                if (queuedBefore) yield* transport.connect
                let got: Transport.TransportConnection | undefined
                const accepting = yield* Effect.forkChild(
                  everyStep(
                    Effect.uninterruptibleMask((restore) =>
                      Effect.flatMap(restore(bound.accept), (connection) => {
                        got = connection
                        return Effect.void
                      })
                    )
                  )
                )
                if (!queuedBefore) {
                  while ((yield* transport.waiting) === 0) yield* Effect.yieldNow
                  yield* transport.connect
                }
                for (let i = 0; i < position; i++) yield* Effect.yieldNow
                yield* Fiber.interrupt(accepting)
                const left = yield* transport.queued
                assert.strictEqual(left, got === undefined ? 1 : 0, `position ${position}`)
                if (left === 1) yield* bound.accept
                outcomes.add(`${queuedBefore ? "queued" : "waiting"} ${left === 1 ? "given back" : "taken"}`)
              }))
            }
          }
          assert.deepStrictEqual(
            [...outcomes].sort(),
            ["queued given back", "queued taken", "waiting given back", "waiting taken"]
          )
        }))
    }

    it.live("loses no connection where Effect goes back to its run loop between a value and its use", () =>
      Effect.gen(function*() {
        const outcomes = new Set<boolean>()
        // every 32nd operation does; with as many before it as it takes, it is the one that hands over
        for (let before = 0; before < 80; before++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const transport = yield* MemoryTransport.make()
            const bound = yield* transport.bind
            yield* transport.connect
            let got = false
            const accepting = yield* Effect.forkChild(
              Effect.gen(function*() {
                // a step takes two operations: one of three makes the number odd
                if (before % 2 === 1) yield* Effect.suspend(() => Effect.suspend(() => Effect.void))
                for (let i = 1; i < before / 2; i++) yield* Effect.suspend(() => Effect.void)
                yield* bound.accept
                got = true
              }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, 33)),
              now
            )
            yield* Fiber.interrupt(accepting)
            assert.strictEqual(yield* transport.queued, got ? 0 : 1, `after ${before}`)
            outcomes.add(got)
          }))
        }
        assert.strictEqual(outcomes.size, 2)
      }))

    it.effect("fails as it was told to, the one that waits at once, and loses no connection", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        const waiting = yield* Effect.forkChild(bound.accept, now)
        yield* transport.failAccept(emfile)
        assert.strictEqual(yield* Effect.flip(Fiber.join(waiting)), emfile)
        yield* transport.connect
        yield* transport.failAccept(aborted, 2)
        assert.strictEqual(yield* Effect.flip(bound.accept), aborted)
        assert.strictEqual(yield* Effect.flip(bound.accept), aborted)
        yield* bound.accept
      }))

    it.effect("a fault fails every accept, resets queued clients and refuses the others", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        const taken = yield* transport.connect
        yield* bound.accept
        const queued = yield* transport.connect
        yield* transport.fault(dead)
        assert.strictEqual(yield* Effect.flip(bound.accept), dead)
        assert.strictEqual(yield* Effect.flip(bound.accept), dead)
        assert.strictEqual(yield* queued.ended, "Reset")
        assert.deepStrictEqual([yield* taken.state, yield* transport.open], ["Open", 1])
        assert.strictEqual((yield* Effect.flip(transport.connect)).reason, "NotListening")
      }))

    it.effect("a fault fails the accept that waits", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        const waiting = yield* Effect.forkChild(bound.accept, now)
        yield* transport.fault(dead)
        assert.strictEqual(yield* Effect.flip(Fiber.join(waiting)), dead)
      }))
  })

  describe("stop", () => {
    for (const resumeLate of [false, true]) {
      it.effect(`completes when a loop over accept has taken all (resumed ${resumeLate ? "late" : "at once"})`, () =>
        Effect.gen(function*() {
          const transport = yield* MemoryTransport.make({ resumeLate })
          const bound = yield* transport.bind
          let accepted = 0
          yield* Effect.replicateEffect(transport.connect, 20)
          // a loop that needs a turn for each, and has not even begun
          yield* Effect.forkChild(Effect.forever(Effect.andThen(
            Effect.map(bound.accept, () => {
              accepted++
            }),
            Effect.yieldNow
          )))
          yield* bound.stop
          assert.deepStrictEqual([accepted, yield* transport.queued], [20, 0])
        }))
    }

    it.effect("takes clients that are about to connect", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        yield* Effect.forkChild(Effect.forever(bound.accept), now)
        const connecting = yield* Effect.forkChild(transport.connect)
        yield* bound.stop
        assert.isTrue(Exit.isSuccess(yield* Fiber.await(connecting)))
        assert.strictEqual(yield* transport.queued, 0)
      }))

    it.effect("listens until what was queued has been taken", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        yield* Effect.replicateEffect(transport.connect, 10)
        yield* Effect.forkChild(Effect.forever(Effect.andThen(bound.accept, Effect.yieldNow)))
        const connecting = yield* Effect.forkChild(
          Effect.andThen(Effect.replicateEffect(Effect.yieldNow, 5), transport.connect)
        )
        yield* bound.stop
        assert.isTrue(Exit.isSuccess(yield* Fiber.await(connecting)))
        assert.strictEqual(yield* transport.queued, 0)
      }))

    it.effect("takes clients that connect during the sweep, too", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        yield* transport.connect
        const stopping = yield* Effect.forkChild(bound.stop, now)
        yield* transport.connect
        const taken: Array<Transport.TransportConnection> = []
        yield* Effect.forkChild(
          Effect.forever(Effect.map(bound.accept, (connection) => {
            taken.push(connection)
          })),
          now
        )
        yield* Fiber.join(stopping)
        assert.strictEqual(taken.length, 2)
      }))

    it.effect("ends although clients never stop connecting", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ backlog: 5 })
        const bound = yield* transport.bind
        yield* transport.connect
        yield* Effect.forkChild(Effect.forever(Effect.andThen(bound.accept, Effect.yieldNow)), now)
        yield* transport.connect
        const reconnecting = yield* Effect.forkChild(Effect.forever(Effect.andThen(
          transport.connect,
          Effect.yieldNow
        )))
        yield* bound.stop
        const refused = yield* Effect.flip(Fiber.join(reconnecting))
        assert.strictEqual(refused.reason, "NotListening")
        assert.strictEqual(yield* transport.queued, 0)
      }))

    it.effect("completes when nothing accepts; queued clients can still be accepted", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const bound = yield* transport.bind
        const client = yield* transport.connect
        yield* bound.stop
        assert.strictEqual(yield* transport.queued, 1)
        assert.strictEqual(yield* client.state, "Open")
        yield* bound.accept
      }))

    it.effect("waits for a connection that was handed over and not yet taken", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ resumeLate: true })
        const bound = yield* transport.bind
        const accepting = yield* Effect.forkChild(bound.accept, now)
        yield* transport.connect
        yield* bound.stop
        assert.isDefined(accepting.pollUnsafe())
      }))

    it.live("waits for it however long it takes", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ resumeLate: true })
        const bound = yield* transport.bind
        const accepting = yield* Effect.forkChild(starved(bound.accept), now)
        yield* transport.connect
        yield* bound.stop
        assert.strictEqual(yield* transport.queued, 0)
        yield* Fiber.join(accepting)
      }))
  })

  describe("reading", () => {
    it.effect("reads nothing before the first pull: the client waits at bufferSize", () =>
      Effect.gen(function*() {
        const { client, connection, reader } = yield* pair({ bufferSize: 8 })
        const writing = yield* Effect.forkChild(client.write("0123456789"), now)
        assert.deepStrictEqual(
          [connection.fast?.bytesIn(), yield* client.bytesPending, writing.pollUnsafe()],
          [0, 2, undefined]
        )
        assert.strictEqual(text(yield* reader.pull), "01234567")
        yield* Fiber.join(writing)
        assert.strictEqual(text(yield* reader.pull), "89")
        assert.deepStrictEqual([connection.fast?.bytesIn(), yield* client.bytesPending], [10, 0])
      }))

    it.effect("a waiting pull gets the bytes as they come", () =>
      Effect.gen(function*() {
        const { client, pullText } = yield* pair()
        const pulling = yield* Effect.forkChild(pullText, now)
        yield* client.write("now")
        assert.deepStrictEqual(pulling.pollUnsafe(), Exit.succeed("now"))
      }))

    it.effect("after the last byte, every pull fails with 1000 when the client has ended", () =>
      Effect.gen(function*() {
        const { client, pullText, reader, writer } = yield* pair()
        yield* client.write("bye")
        yield* client.end
        assert.strictEqual(yield* pullText, "bye")
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketCloseError 1000")
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketCloseError 1000")
        // only half of it is closed
        yield* writer.write("answer")
        assert.strictEqual(yield* client.readText(6), "answer")
      }))

    it.effect("a reset fails the pull, what was not read is gone, and writing fails", () =>
      Effect.gen(function*() {
        const { client, reader, writer } = yield* pair()
        yield* client.write("unread")
        yield* client.reset
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketReadError")
        assert.strictEqual(reason(yield* Effect.flip(writer.write("x"))), "SocketWriteError")
      }))

    it.effect("a reset fails a pull and a write that wait", () =>
      Effect.gen(function*() {
        const { client, reader, writer } = yield* pair({ bufferSize: 4 })
        const pulling = yield* Effect.forkChild(reader.pull, now)
        const writing = yield* Effect.forkChild(writer.write("too much"), now)
        yield* client.reset
        assert.strictEqual(reason(yield* Effect.flip(Fiber.join(pulling))), "SocketReadError")
        assert.strictEqual(reason(yield* Effect.flip(Fiber.join(writing))), "SocketWriteError")
      }))

    it.effect("closing the reader's scope fails its waiting pull and leaves the rest alone", () =>
      Effect.gen(function*() {
        const { client, connection, writer } = yield* pair()
        const scope = yield* Scope.make()
        const reader = yield* Scope.provide(connection.socket.reader, scope)
        const pulling = yield* Effect.forkChild(reader.pull, now)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(reason(yield* Effect.flip(Fiber.join(pulling))), "SocketCloseError 1006")
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketCloseError 1006")
        yield* writer.write("still here")
        assert.strictEqual(yield* client.readText(10), "still here")
        yield* client.write("next reader")
        const next = yield* connection.socket.reader
        assert.strictEqual(text(yield* next.pull), "next reader")
      }))

    it.effect("closing one reader's scope leaves another reader's pull alone", () =>
      Effect.gen(function*() {
        const { client, connection, pullText } = yield* pair()
        const pulling = yield* Effect.forkChild(pullText, now)
        yield* Effect.scoped(connection.socket.reader)
        yield* client.write("still waiting")
        assert.strictEqual(yield* Fiber.join(pulling), "still waiting")
      }))

    it.effect("a handler that answers in the same call loses nothing", () =>
      Effect.gen(function*() {
        const { client, pullText, writer } = yield* pair()
        const seen: Array<string> = []
        yield* Effect.forkChild(
          Effect.gen(function*() {
            while (true) {
              seen.push(yield* pullText)
              if (seen.length < 5) yield* client.write(`${seen.length}`)
              else yield* writer.write("done")
            }
          }),
          now
        )
        yield* client.write("0")
        assert.strictEqual(yield* client.readText(4), "done")
        assert.deepStrictEqual(seen, ["0", "1", "2", "3", "4"])
      }))

    it.effect("an empty write is nothing to read", () =>
      Effect.gen(function*() {
        const { client, reader, writer } = yield* pair()
        const pulling = yield* Effect.forkChild(reader.pull, now)
        yield* client.write("")
        yield* writer.write("")
        assert.isUndefined(pulling.pollUnsafe())
      }))

    it.live("loses no byte wherever a pull is interrupted", () =>
      Effect.gen(function*() {
        const outcomes = new Set<boolean>()
        for (let position = 0; position < 40; position++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { client, connection, pullText, reader } = yield* pair({ bufferSize: 2 })
            let got = ""
            const pulling = yield* Effect.forkChild(
              everyStep(Effect.uninterruptibleMask((restore) =>
                Effect.flatMap(restore(reader.pull), (chunks) => {
                  got = text(chunks)
                  return Effect.void
                })
              ))
            )
            yield* client.write("a")
            for (let i = 0; i < position; i++) yield* Effect.yieldNow
            const before = got
            yield* client.write("b")
            yield* Fiber.interrupt(pulling)
            outcomes.add(got === "a")
            assert.strictEqual(got, before)
            assert.isFalse(connection.endReading(draining))
            assert.strictEqual(connection.fast?.bytesIn(), got.length)
            const writing = yield* Effect.forkChild(client.write("c"), now)
            assert.strictEqual(yield* client.bytesPending, got === "" ? 1 : 0)
            let rest = ""
            while (got.length + rest.length < 3) rest += yield* pullText
            assert.strictEqual(got + rest, "abc", `position ${position}`)
            yield* Fiber.join(writing)
            assert.isTrue(connection.endReading(draining))
          }))
        }
        assert.strictEqual(outcomes.size, 2)
      }))
  })

  describe("endReading", () => {
    it.effect("with nothing buffered fails the waiting pull and all later ones, and leaves writing alone", () =>
      Effect.gen(function*() {
        const { client, connection, reader, writer } = yield* pair()
        const pulling = yield* Effect.forkChild(reader.pull, now)
        assert.isTrue(connection.endReading(draining))
        assert.strictEqual(yield* Effect.flip(Fiber.join(pulling)), draining)
        assert.strictEqual(yield* Effect.flip(reader.pull), draining)
        yield* writer.write("goodbye")
        assert.strictEqual(yield* client.readText(7), "goodbye")
      }))

    it.effect("is what later pulls fail with, also when the client ends afterwards", () =>
      Effect.gen(function*() {
        const { client, connection, reader } = yield* pair()
        assert.isTrue(connection.endReading(draining))
        yield* client.end
        assert.strictEqual(yield* Effect.flip(reader.pull), draining)
      }))

    it.effect("cuts no linger short", () =>
      Effect.gen(function*() {
        const { connection } = yield* pair()
        const leaving = yield* Effect.forkChild(connection.goodbye(linger), now)
        assert.isTrue(connection.endReading(draining))
        assert.isUndefined(leaving.pollUnsafe())
      }))

    it.effect("with bytes buffered does nothing and says so", () =>
      Effect.gen(function*() {
        const { client, connection, pullText } = yield* pair()
        yield* client.write("request")
        assert.isFalse(connection.endReading(draining))
        assert.strictEqual(yield* pullText, "request")
        yield* client.write("another")
        assert.strictEqual(yield* pullText, "another")
        assert.isTrue(connection.endReading(draining))
      }))

    it.live("is never true between the bytes and the handler that waits for them", () =>
      Effect.gen(function*() {
        let refused = 0
        for (let position = 0; position < 12; position++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { client, connection, reader } = yield* pair()
            let got = false
            const pulling = yield* Effect.forkChild(everyStep(Effect.map(reader.pull, () => {
              got = true
            })))
            yield* Effect.yieldNow
            yield* client.write("x")
            for (let i = 0; i < position; i++) yield* Effect.yieldNow
            if (!got) {
              assert.isFalse(connection.endReading(draining), `position ${position}`)
              refused++
            }
            yield* Fiber.join(pulling)
          }))
        }
        assert.isAbove(refused, 1)
      }))
  })

  describe("settled", () => {
    it.effect("is a scheduling point", () =>
      Effect.gen(function*() {
        const { connection } = yield* pair()
        const settling = yield* Effect.forkChild(connection.settled, now)
        assert.isUndefined(settling.pollUnsafe())
        yield* Fiber.join(settling)
      }))

    it.effect("read late: what has arrived is unknown until then, and lost to a drain that does not wait", () =>
      Effect.gen(function*() {
        const { client, connection, pullText } = yield* pair({ readLate: true })
        const pulling = yield* Effect.forkChild(Effect.result(pullText), now)
        yield* client.write("request")
        assert.isUndefined(pulling.pollUnsafe())
        assert.isTrue(connection.endReading(draining))
        assert.strictEqual((yield* Fiber.join(pulling))._tag, "Failure")
      }))

    it.effect("read late: without a pull that waits, it shows what has arrived, but never before the first pull", () =>
      Effect.gen(function*() {
        const { client, connection, pullText } = yield* pair({ readLate: true })
        yield* client.write("first")
        yield* connection.settled
        assert.isTrue(connection.endReading(draining))
        const next = yield* pair({ readLate: true })
        yield* next.client.write("first")
        assert.strictEqual(yield* next.pullText, "first")
        yield* next.client.write("second")
        yield* next.connection.settled
        yield* next.client.write(", third")
        assert.isFalse(next.connection.endReading(draining))
        const pulling = yield* Effect.forkChild(next.pullText, now)
        assert.deepStrictEqual(pulling.pollUnsafe(), Exit.succeed("second, third"))
        assert.strictEqual(yield* Effect.flip(pullText), draining)
      }))

    it.effect("read late: has given what had arrived to the waiting pull", () =>
      Effect.gen(function*() {
        const { client, connection, pullText } = yield* pair({ readLate: true })
        yield* client.write("there before the first pull")
        const pulling = yield* Effect.forkChild(pullText, now)
        assert.isUndefined(pulling.pollUnsafe())
        yield* connection.settled
        assert.deepStrictEqual(pulling.pollUnsafe(), Exit.succeed("there before the first pull"))
        const next = yield* Effect.forkChild(pullText, now)
        yield* client.write("while it waits")
        assert.isUndefined(next.pollUnsafe())
        assert.strictEqual(yield* Fiber.join(next), "while it waits")
        yield* client.end
        assert.strictEqual(reason(yield* Effect.flip(pullText)), "SocketCloseError 1000")
      }))

    it.live("read late: whatever else is late, the waiting pull has it by then", () =>
      Effect.gen(function*() {
        const { client, connection, reader } = yield* pair({ readLate: true })
        const pulling = yield* Effect.forkChild(starved(reader.pull), now)
        yield* client.write("x")
        yield* connection.settled
        assert.isDefined(pulling.pollUnsafe())
      }))

    it.live("waits for the fiber that gets what an interrupted one gave back", () =>
      Effect.gen(function*() {
        const { client, connection, reader } = yield* pair()
        let got = ""
        const pull = (name: string) =>
          Effect.gen(function*() {
            // long enough for the fiber to wait in the pull
            const pulling = yield* Effect.forkChild(starvedAtEveryStep(Effect.map(reader.pull, () => {
              got = name
            })))
            yield* Effect.replicateEffect(Effect.yieldNow, 400)
            return pulling
          })
        const first = yield* pull("first")
        const second = yield* pull("second")
        yield* client.write("x")
        const settling = yield* Effect.forkChild(connection.settled, now)
        yield* Effect.replicateEffect(Effect.yieldNow, 5)
        assert.isUndefined(settling.pollUnsafe())
        first.interruptUnsafe()
        yield* Fiber.join(settling)
        assert.strictEqual(got, "second")
        yield* Fiber.join(second)
      }))

    it.live("has given it to a handler that is slow to go on", () =>
      Effect.gen(function*() {
        for (const readLate of [false, true]) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { client, connection, reader } = yield* pair({ readLate })
            let got = false
            const pulling = yield* Effect.forkChild(everyStep(Effect.map(reader.pull, () => {
              got = true
            })))
            for (let i = 0; i < 10; i++) yield* Effect.yieldNow
            yield* client.write("x")
            yield* connection.settled
            assert.isTrue(got)
            yield* Fiber.join(pulling)
          }))
        }
      }))
  })

  describe("writing", () => {
    it.effect("waits for the reader once bufferSize bytes are taken, to the byte", () =>
      Effect.gen(function*() {
        const { client, connection, writer } = yield* pair({ bufferSize: 4 })
        yield* writer.write("1234")
        assert.deepStrictEqual([connection.bytesPending(), connection.fast?.bytesOut()], [0, 4])
        const writing = yield* Effect.forkChild(writer.writeAll(["56", "7890"]), now)
        assert.deepStrictEqual([connection.bytesPending(), connection.fast?.bytesOut()], [6, 10])
        assert.strictEqual(yield* client.readText(1), "1")
        assert.strictEqual(connection.bytesPending(), 5)
        assert.strictEqual(yield* client.readText(), "2345")
        assert.strictEqual(connection.bytesPending(), 1)
        assert.isUndefined(writing.pollUnsafe())
        assert.strictEqual(yield* client.readText(1), "6")
        assert.isDefined(writing.pollUnsafe())
        assert.strictEqual(connection.bytesPending(), 0)
        assert.strictEqual(yield* client.readText(4), "7890")
      }))

    it.effect("keeps what an interrupted write has written", () =>
      Effect.gen(function*() {
        const { client, writer } = yield* pair({ bufferSize: 4 })
        const writing = yield* Effect.forkChild(writer.write("12345678"), now)
        yield* Fiber.interrupt(writing)
        assert.strictEqual(yield* client.readText(8), "12345678")
      }))

    it.effect("takes the bytes as they were when they were written", () =>
      Effect.gen(function*() {
        const { client, writer } = yield* pair()
        const bytes = new TextEncoder().encode("before")
        yield* writer.write(bytes)
        bytes.fill(0)
        assert.strictEqual(yield* client.readText(6), "before")
      }))

    it.effect("releasing the writer's scope half-closes after what is pending", () =>
      Effect.gen(function*() {
        const { client, endWriter, pullText, writer } = yield* pair({ bufferSize: 4 })
        yield* Effect.forkChild(writer.write("123456"), now)
        yield* endWriter
        assert.strictEqual(yield* client.state, "Open")
        assert.strictEqual(yield* client.readAllText, "123456")
        assert.strictEqual(yield* client.state, "Fin")
        assert.strictEqual(reason(yield* Effect.flip(writer.write("late"))), "SocketWriteError")
        yield* client.write("mine")
        assert.strictEqual(yield* pullText, "mine")
      }))

    it.effect("a close event of code 1000 ends the writing side, any other resets", () =>
      Effect.gen(function*() {
        const well = yield* pair()
        yield* well.writer.write(new Socket.CloseEvent(1000))
        assert.strictEqual(yield* well.client.ended, "Fin")
        const badly = yield* pair()
        yield* badly.writer.write(new Socket.CloseEvent(1011))
        assert.strictEqual(yield* badly.client.ended, "Reset")
        assert.strictEqual(reason(yield* Effect.flip(badly.reader.pull)), "SocketCloseError 1006")
        yield* badly.connection.goodbye(linger)
        assert.strictEqual(yield* badly.transport.open, 0)
      }))
  })

  describe("goodbye", () => {
    it.effect("waits until a client that does not read has taken everything", () =>
      Effect.gen(function*() {
        const { client, connection, transport, writer } = yield* pair({ bufferSize: 4 })
        yield* Effect.forkChild(writer.write("1234567890"), now)
        const leaving = yield* Effect.forkChild(connection.goodbye("none"), now)
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual([leaving.pollUnsafe(), connection.bytesPending(), yield* client.state], [
          undefined,
          6,
          "Open"
        ])
        assert.strictEqual(yield* client.readAllText, "1234567890")
        yield* Fiber.join(leaving)
        assert.deepStrictEqual([yield* client.ended, yield* transport.open], ["Fin", 0])
      }))

    it.effect("sends the FIN, then lingers until the client has ended", () =>
      Effect.gen(function*() {
        const { client, connection, transport, writer } = yield* pair()
        yield* writer.write("answer")
        const leaving = yield* Effect.forkChild(connection.goodbye(linger), now)
        assert.strictEqual(yield* client.ended, "Fin")
        yield* client.write("still sending")
        assert.deepStrictEqual([leaving.pollUnsafe(), yield* transport.open], [undefined, 1])
        yield* client.end
        assert.isDefined(leaving.pollUnsafe())
        assert.strictEqual(yield* client.readAllText, "answer")
        assert.deepStrictEqual([yield* client.state, yield* transport.open], ["Fin", 0])
      }))

    it.effect("lingers until nothing came for its idle time", () =>
      Effect.gen(function*() {
        const { client, connection } = yield* pair()
        const leaving = yield* Effect.forkChild(connection.goodbye(linger), now)
        yield* TestClock.adjust("499 millis")
        yield* client.write("x")
        yield* TestClock.adjust("499 millis")
        assert.isUndefined(leaving.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.isDefined(leaving.pollUnsafe())
        assert.strictEqual(yield* client.state, "Fin")
        // what is sent to a released socket is answered with a reset
        yield* client.write("too late")
        assert.strictEqual(yield* client.state, "Reset")
        assert.strictEqual((yield* Effect.flip(client.write("again"))).how, "Reset")
      }))

    it.effect("lingers no longer than its total time", () =>
      Effect.gen(function*() {
        const { client, connection } = yield* pair()
        const leaving = yield* Effect.forkChild(
          connection.goodbye({ ...linger, total: Duration.seconds(1) }),
          now
        )
        for (let i = 0; i < 9; i++) {
          yield* client.write("x")
          yield* TestClock.adjust("100 millis")
        }
        assert.isUndefined(leaving.pollUnsafe())
        yield* TestClock.adjust("100 millis")
        assert.isDefined(leaving.pollUnsafe())
      }))

    it.effect("with no idle time discards what is there", () =>
      Effect.gen(function*() {
        const { client, connection, writer } = yield* pair()
        yield* writer.write("answer")
        yield* client.write("there")
        const leaving = yield* Effect.forkChild(connection.goodbye({ ...linger, idle: Duration.zero }), now)
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(leaving)
        assert.deepStrictEqual([yield* client.readAllText, yield* client.state], ["answer", "Fin"])
      }))

    it.effect("lingers for ever when told so", () =>
      Effect.gen(function*() {
        const { client, connection } = yield* pair()
        const leaving = yield* Effect.forkChild(
          connection.goodbye({ ...linger, idle: Duration.infinity, total: Duration.infinity }),
          now
        )
        yield* TestClock.adjust("1000 days")
        assert.isUndefined(leaving.pollUnsafe())
        yield* client.end
        yield* Fiber.join(leaving)
      }))

    it.effect("discards no more than its bytes, then closes, which resets a client that goes on", () =>
      Effect.gen(function*() {
        const { client, connection, writer } = yield* pair()
        yield* writer.write("answer")
        const leaving = yield* Effect.forkChild(connection.goodbye({ ...linger, bytes: 10 }), now)
        yield* client.write("123456789")
        assert.isUndefined(leaving.pollUnsafe())
        yield* client.write("0 and more")
        assert.isDefined(leaving.pollUnsafe())
        assert.strictEqual(yield* client.state, "Reset")
        // and that is why one lingers
        assert.strictEqual((yield* Effect.flip(client.readAll)).how, "Reset")
      }))

    it.effect("without lingering closes at once: a reset if there is unread input", () =>
      Effect.gen(function*() {
        const clean = yield* pair()
        yield* clean.writer.write("answer")
        yield* clean.connection.goodbye("none")
        assert.deepStrictEqual([yield* clean.client.readAllText, yield* clean.client.state], ["answer", "Fin"])
        const unread = yield* pair()
        yield* unread.client.write("request")
        yield* unread.writer.write("answer")
        yield* unread.connection.goodbye("none")
        assert.strictEqual((yield* Effect.flip(unread.client.readAll)).how, "Reset")
      }))

    it.effect("discards what endReading has left to the handler's fellows, and fails a pull that waits", () =>
      Effect.gen(function*() {
        const { client, connection, reader } = yield* pair()
        assert.isTrue(connection.endReading(draining))
        yield* client.write("late")
        const leaving = yield* Effect.forkChild(connection.goodbye(linger), now)
        yield* TestClock.adjust("100 millis")
        assert.isUndefined(leaving.pollUnsafe())
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketCloseError 1006")
        yield* client.end
        yield* Fiber.join(leaving)
        assert.strictEqual(yield* client.state, "Fin")
      }))

    it.effect("fails the pull that waits when it begins to discard", () =>
      Effect.gen(function*() {
        const { connection, reader } = yield* pair()
        const pulling = yield* Effect.forkChild(reader.pull, now)
        yield* Effect.forkChild(connection.goodbye(linger), now)
        assert.strictEqual(reason(yield* Effect.flip(Fiber.join(pulling))), "SocketCloseError 1006")
      }))

    it.effect("interrupted in its flush, resets", () =>
      Effect.gen(function*() {
        const { client, connection, transport, writer } = yield* pair({ bufferSize: 4 })
        yield* Effect.forkChild(Effect.result(writer.write("1234567890")), now)
        const leaving = yield* Effect.forkChild(connection.goodbye(linger), now)
        yield* Fiber.interrupt(leaving)
        assert.deepStrictEqual([yield* client.ended, yield* transport.open], ["Reset", 0])
      }))

    it.effect("interrupted while it lingers, releases", () =>
      Effect.gen(function*() {
        const { client, connection, transport } = yield* pair()
        const leaving = yield* Effect.forkChild(connection.goodbye(linger), now)
        yield* Fiber.interrupt(leaving)
        assert.deepStrictEqual([yield* client.state, yield* transport.open], ["Fin", 0])
      }))

    it.effect("is cut short by destroy and by the client's reset", () =>
      Effect.gen(function*() {
        for (const phase of ["flush", "linger"] as const) {
          for (const side of ["server", "client"] as const) {
            const { client, connection, transport, writer } = yield* pair({ bufferSize: 4 })
            if (phase === "flush") yield* Effect.forkChild(Effect.result(writer.write("1234567890")), now)
            const leaving = yield* Effect.forkChild(connection.goodbye(linger), now)
            assert.isUndefined(leaving.pollUnsafe())
            yield* side === "server" ? connection.destroy : client.reset
            yield* Fiber.join(leaving)
            assert.strictEqual(yield* transport.open, 0)
            if (side === "server") assert.strictEqual(yield* client.state, "Reset")
          }
        }
      }))
  })

  describe("destroy", () => {
    it.effect("resets, drops what is unsent, releases, and does so once", () =>
      Effect.gen(function*() {
        const { client, connection, reader, transport, writer } = yield* pair({ bufferSize: 4 })
        const pulling = yield* Effect.forkChild(reader.pull, now)
        const writing = yield* Effect.forkChild(writer.write("1234567890"), now)
        yield* connection.destroy
        yield* connection.destroy
        assert.strictEqual(reason(yield* Effect.flip(Fiber.join(pulling))), "SocketCloseError 1006")
        assert.strictEqual(reason(yield* Effect.flip(Fiber.join(writing))), "SocketWriteError")
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketCloseError 1006")
        assert.deepStrictEqual([connection.bytesPending(), yield* transport.open], [0, 0])
        assert.strictEqual(yield* client.ended, "Reset")
        assert.strictEqual((yield* Effect.flip(client.read)).how, "Reset")
        assert.isTrue(connection.endReading(draining))
      }))

    it.effect("has nothing to reset when both sides have ended and all was read", () =>
      Effect.gen(function*() {
        const { client, connection, endWriter, reader } = yield* pair()
        yield* client.end
        yield* Effect.flip(reader.pull)
        yield* endWriter
        yield* connection.destroy
        assert.strictEqual(yield* client.state, "Fin")
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketCloseError 1000")
      }))

    it.effect("resets when both sides have ended but not all was read", () =>
      Effect.gen(function*() {
        const { client, connection, endWriter } = yield* pair()
        yield* client.write("unread")
        yield* client.end
        yield* endWriter
        yield* connection.destroy
        assert.strictEqual(yield* client.state, "Reset")
      }))

    it.effect("a handler that goes on in the same call can send nothing any more", () =>
      Effect.gen(function*() {
        const { client, connection, reader, writer } = yield* pair()
        const handler = yield* Effect.forkChild(
          Effect.catch(reader.pull, () => writer.write("after the end")),
          now
        )
        yield* connection.destroy
        assert.strictEqual(reason(yield* Effect.flip(Fiber.join(handler))), "SocketWriteError")
        assert.strictEqual(yield* client.receivedText, "")
      }))
  })

  describe("ready", () => {
    it.effect("is nothing by default", () =>
      Effect.gen(function*() {
        const { connection } = yield* pair()
        assert.deepStrictEqual(yield* Effect.exit(connection.ready), Exit.void)
      }))

    it.effect("is the handshake of the options", () =>
      Effect.gen(function*() {
        const failure = new ListenerError.SecurityFailure({
          operation: "accept",
          listener: "test",
          trail: [],
          detail: "bad certificate"
        })
        const { connection } = yield* pair({
          handshake: Effect.andThen(Effect.sleep("2 seconds"), Effect.fail(failure)),
          protocol: "tls",
          name: "secure"
        })
        assert.strictEqual(connection.protocol, "tls")
        const handshake = yield* Effect.forkChild(connection.ready, now)
        yield* TestClock.adjust("1999 millis")
        assert.isUndefined(handshake.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* Effect.flip(Fiber.join(handshake)), failure)
      }))
  })

  describe("latency", () => {
    it.effect("delays connects, bytes and ends, and keeps their order", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ latency: "100 millis" })
        const bound = yield* transport.bind
        const connecting = yield* Effect.forkChild(transport.connect, now)
        const accepting = yield* Effect.forkChild(bound.accept, now)
        yield* TestClock.adjust("99 millis")
        assert.isUndefined(accepting.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        const connection = yield* Fiber.join(accepting)
        assert.isUndefined(connecting.pollUnsafe())
        yield* TestClock.adjust("100 millis")
        const client = yield* Fiber.join(connecting)

        const reader = yield* connection.socket.reader
        yield* client.write("a")
        yield* TestClock.adjust("50 millis")
        yield* client.write("b")
        yield* client.end
        // nothing has arrived: settled adds nothing to the way
        yield* connection.settled
        assert.strictEqual(yield* Effect.map(Effect.sync(() => connection.fast?.bytesIn()), String), "0")
        yield* TestClock.adjust("50 millis")
        assert.strictEqual(text(yield* reader.pull), "a")
        const pulling = yield* Effect.forkChild(reader.pull, now)
        yield* TestClock.adjust("49 millis")
        assert.isUndefined(pulling.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(text(yield* Fiber.join(pulling)), "b")
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketCloseError 1000")

        yield* connection.destroy
        assert.strictEqual(yield* client.state, "Open")
        yield* TestClock.adjust("100 millis")
      }))

    it.effect("a connect that is interrupted on the way leaves a connection that ends", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ latency: "100 millis" })
        const bound = yield* transport.bind
        const connecting = yield* Effect.forkChild(Effect.scoped(transport.connect), now)
        yield* TestClock.adjust("100 millis")
        const connection = yield* bound.accept
        const reader = yield* connection.socket.reader
        yield* Fiber.interrupt(connecting)
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(reason(yield* Effect.flip(reader.pull)), "SocketCloseError 1000")
      }))

    it.effect("a reset is on its way like everything else", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ latency: "100 millis" })
        const bound = yield* transport.bind
        const connecting = yield* Effect.forkChild(transport.connect, now)
        yield* TestClock.adjust("200 millis")
        const client = yield* Fiber.join(connecting)
        const connection = yield* bound.accept
        yield* connection.destroy
        yield* TestClock.adjust("99 millis")
        assert.strictEqual(yield* client.state, "Open")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* client.state, "Reset")
      }))
  })

  describe("Client", () => {
    it.effect("reads exactly, what is there, or everything, and shows what has come without reading", () =>
      Effect.gen(function*() {
        const { client, connection, endWriter, writer } = yield* pair({ bufferSize: 8 })
        yield* writer.write("one")
        const four = yield* Effect.forkChild(client.readText(4), now)
        assert.isUndefined(four.pollUnsafe())
        yield* writer.write("two")
        assert.strictEqual(yield* Fiber.join(four), "onet")
        assert.strictEqual(yield* client.readText(), "wo")
        yield* writer.write("three")
        assert.strictEqual(yield* client.receivedText, "onetwothree")
        assert.strictEqual((yield* client.received).length, 11)
        assert.strictEqual(connection.fast?.bytesOut(), 11)
        assert.strictEqual(yield* client.state, "Open")
        yield* endWriter
        assert.deepStrictEqual(yield* client.readAll, new TextEncoder().encode("three"))
        assert.strictEqual((yield* Effect.flip(client.read)).how, "Fin")
        assert.strictEqual(yield* client.receivedText, "onetwothree")
      }))

    it.effect("puts back what a read could not complete", () =>
      Effect.gen(function*() {
        const { client, endWriter, writer } = yield* pair()
        yield* writer.write("abc")
        const five = yield* Effect.forkChild(client.readText(5), now)
        yield* Fiber.interrupt(five)
        yield* endWriter
        assert.strictEqual((yield* Effect.flip(client.readText(5))).how, "Fin")
        assert.strictEqual(yield* client.readAllText, "abc")
      }))

    it.effect("a reset takes what was not read", () =>
      Effect.gen(function*() {
        const { client, connection, writer } = yield* pair()
        yield* writer.write("read")
        assert.strictEqual(yield* client.readText(2), "re")
        yield* connection.destroy
        assert.strictEqual((yield* Effect.flip(client.readAllText)).how, "Reset")
        assert.strictEqual(yield* client.receivedText, "re")
      }))

    it.effect("has nothing to read after its own reset, and does not see how the server ends", () =>
      Effect.gen(function*() {
        const { client, connection, writer } = yield* pair()
        yield* writer.write("unread")
        const reading = yield* Effect.forkChild(client.readText(100), now)
        yield* client.reset
        assert.strictEqual((yield* Effect.flip(Fiber.join(reading))).how, "Closed")
        assert.strictEqual((yield* Effect.flip(client.write("x"))).how, "Closed")
        yield* connection.destroy
        assert.strictEqual(yield* client.state, "Open")
      }))

    it.effect("cannot write after its end", () =>
      Effect.gen(function*() {
        const { client } = yield* pair()
        yield* client.end
        const error = yield* Effect.flip(client.write("x"))
        assert.deepStrictEqual([error._tag, error.how], ["ConnectionEnded", "Closed"])
      }))

    it.effect("waits in ended until the server's end has arrived", () =>
      Effect.gen(function*() {
        const { client, endWriter } = yield* pair()
        const ended = yield* Effect.forkChild(client.ended, now)
        assert.isUndefined(ended.pollUnsafe())
        yield* endWriter
        assert.strictEqual(yield* Fiber.join(ended), "Fin")
      }))
  })
})

import type { BoundTransport, TransportConnection } from "@effect-listener/core/Transport"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import { assert, describe, it, vi } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Scope } from "effect"
import { NetAddress } from "effect/net"
import * as Scheduler from "effect/Scheduler"
import { TestClock } from "effect/testing"
import * as Net from "node:net"
import { Gate } from "../src/internal/inherit/gate.ts"
import type { SharedSocket } from "../src/internal/inherit/sharedSocket.ts"
import { bind } from "../src/internal/listen/netListener.ts"
import { kernelQueue } from "../src/internal/listen/queue/kernelQueue.ts"
import { tcpBinding } from "../src/internal/listen/tcp.ts"
import { netSocketOf } from "../src/internal/socket/nodeSocket.ts"
import * as ClientsDuringBlock from "./support/clientsDuringBlock.ts"
import * as HeldScheduler from "./support/heldScheduler.ts"
import { portOf, until } from "./support/listening.ts"
import { connect, type Peer } from "./support/peer.ts"
import { sockets, turns } from "./support/resources.ts"

const linger = { idle: Duration.millis(500), total: Duration.seconds(5), bytes: 1 << 20 }

const listen = (options: Partial<NodeTcp.TransportOptions> = {}) =>
  NodeTcp.transport({ port: 0, host: "127.0.0.1", ...options }).bind

/** Accepts; the connection is destroyed when the scope closes. */
const accept = (bound: BoundTransport) =>
  Effect.tap(bound.accept, (connection) => Effect.addFinalizer(() => connection.destroy))

/** The port a peer of ours has, by which its connection is known at the other end. */
const localPort = (peer: Peer): number | undefined => peer.socket.localPort
const remotePort = (connection: TransportConnection): number =>
  NetAddress.isInetAddress(connection.remote) ? connection.remote.port : -1

/** 100 clients that connect from another thread and send "hello". */
const crowdOf100 = (bound: BoundTransport) =>
  ClientsDuringBlock.make({ port: portOf(bound.address), host: "127.0.0.1" }, { clients: 100, request: "hello" })

const allServed = Array.from({ length: 100 }, () => ({ text: "got hello", ending: "FIN" }))

/** Reads one chunk and answers `got` and the chunk, then says goodbye. */
const answer = (connection: TransportConnection) =>
  Effect.scoped(Effect.gen(function*() {
    const { pull } = yield* connection.socket.reader
    const writer = yield* connection.socket.writer
    const [chunk] = yield* pull
    yield* writer.write(`got ${chunk.toString()}`)
  })).pipe(
    Effect.andThen(connection.goodbye(linger))
  )

/** A clock that stands still: each client comes soon after the one before. */
const rush = Effect.acquireRelease(
  Effect.sync(() => vi.spyOn(performance, "now").mockReturnValue(0)),
  (clock) => Effect.sync(() => clock.mockRestore())
)

/** Clients that connect in one turn of the event loop; the kernel accepts them in this order. */
const together = (bound: BoundTransport, count: number) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      Array.from({ length: count }, () => Net.connect(portOf(bound.address), "127.0.0.1").on("error", () => {}))
    ),
    (clients) => Effect.sync(() => clients.forEach((client) => client.destroy()))
  )

describe("NetListener", () => {
  describe("accept", () => {
    it.live("hands over connections of which nothing was read", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        const peer = yield* connect(bound.address)
        yield* peer.send("hello")
        const connection = yield* accept(bound)
        yield* connection.settled
        assert.strictEqual(connection.fast?.bytesIn(), 0)
        const { pull } = yield* connection.socket.reader
        const [chunk] = yield* pull
        assert.strictEqual(chunk.toString(), "hello")
        assert.strictEqual(connection.fast?.bytesIn(), 5)
      }))

    it.live("names both ends of a connection, also when it is gone", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        const peer = yield* connect(bound.address)
        const connection = yield* accept(bound)
        assert.deepStrictEqual(NetAddress.formatSocketAddress(connection.local), `127.0.0.1:${portOf(bound.address)}`)
        assert.strictEqual(connection.protocol, "tcp")
        yield* connection.destroy
        assert.strictEqual(NetAddress.formatSocketAddress(connection.remote), `127.0.0.1:${localPort(peer)}`)
      }))

    it.live("completes synchronously while connections are queued, oldest first", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        const peers: Array<Peer> = []
        for (let i = 0; i < 3; i++) peers.push(yield* connect(bound.address))
        // libuv accepts one a turn
        yield* turns(10)
        const connections = peers.map(() => Effect.runSync(bound.accept))
        const accepted = connections.map((connection) => remotePort(connection))
        yield* Effect.forEach(connections, (connection) => connection.destroy)
        assert.deepStrictEqual(accepted, peers.map((peer) => localPort(peer)))
      }))

    it.live("serves any number of waiting fibers, first come first served", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        const waiting: Array<Fiber.Fiber<TransportConnection, unknown>> = []
        for (let i = 0; i < 3; i++) waiting.push(yield* Effect.forkChild(accept(bound), { startImmediately: true }))
        for (const fiber of waiting) {
          const peer = yield* connect(bound.address)
          assert.strictEqual(remotePort(yield* Fiber.join(fiber)), localPort(peer))
        }
      }))

    it.live("gives the connection to the next accept when the first is interrupted", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        const first = yield* Effect.forkChild(accept(bound), { startImmediately: true })
        const second = yield* Effect.forkChild(accept(bound), { startImmediately: true })
        yield* Fiber.interrupt(first)
        const peer = yield* connect(bound.address)
        assert.strictEqual(remotePort(yield* Fiber.join(second)), localPort(peer))
      }))

    // A fiber can be interrupted wherever it yields, and this scheduler makes it yield before each operation.
    it.live("loses nothing, after however many operations it is interrupted", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        const outcomes = new Set<string>()
        for (let operations = 0; operations < 20; operations++) {
          const peer = yield* connect(bound.address)
          yield* turns(3)
          let taken: TransportConnection | undefined
          const take = Effect.map(bound.accept, (connection) => {
            taken = connection
          })
          const held = HeldScheduler.make()
          const fiber = yield* Effect.forkChild(held.run(take), { startImmediately: true })
          held.step(operations)
          fiber.interruptUnsafe()
          held.release()
          outcomes.add(taken === undefined ? "interrupted" : "taken")
          const connection = taken ?? Effect.runSync(bound.accept)
          assert.strictEqual(remotePort(connection), localPort(peer))
          yield* connection.destroy
        }
        assert.strictEqual(outcomes.size, 2)
      }))

    it.live("wakes the next accept, after however many operations the first is interrupted", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        const outcomes = new Set<string>()
        for (let operations = 0; operations < 20; operations++) {
          let taken: TransportConnection | undefined
          const take = Effect.map(bound.accept, (connection) => {
            taken = connection
          })
          const held = HeldScheduler.make()
          const first = yield* Effect.forkChild(held.run(take), { startImmediately: true })
          held.release()
          const second = yield* Effect.forkChild(bound.accept, { startImmediately: true })
          const peer = yield* connect(bound.address)
          yield* turns(3)
          held.step(operations)
          first.interruptUnsafe()
          held.release()
          outcomes.add(taken === undefined ? "interrupted" : "taken")
          const connection = taken ?? (yield* Fiber.join(second))
          assert.strictEqual(remotePort(connection), localPort(peer))
          yield* Fiber.interrupt(second)
          yield* connection.destroy
        }
        assert.strictEqual(outcomes.size, 2)
      }))

    it.live.each([2048, 3])(
      "loses no connection of 100 when accepts are interrupted at random (%i)",
      (ops) =>
        Effect.gen(function*() {
          const bound = yield* listen()
          const accepted: Array<number> = []
          const connections: Array<TransportConnection> = []
          yield* Effect.addFinalizer(() => Effect.forEach(connections, (connection) => connection.destroy))
          const interrupted: Array<Fiber.Fiber<unknown, unknown>> = []
          let done = false
          const acceptOne = Effect.map(bound.accept, (connection) => {
            connections.push(connection)
            accepted.push(remotePort(connection))
          })
          const chaos = Effect.gen(function*() {
            while (!done) {
              // now and then no accept waits, so that connections are queued
              if (Math.random() < 0.5) yield* turns(Math.ceil(Math.random() * 5))
              const fibers: Array<Fiber.Fiber<void, unknown>> = []
              for (let i = 0; i < 5; i++) fibers.push(yield* Effect.forkChild(acceptOne))
              for (let i = 0; i < Math.random() * 6; i++) yield* Effect.yieldNow
              if (Math.random() < 0.3) yield* turns(1)
              for (const fiber of fibers.sort(() => Math.random() - 0.5)) {
                if (fiber.pollUnsafe() === undefined) interrupted.push(fiber)
                yield* Fiber.interrupt(fiber)
              }
            }
          }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, ops))
          const running = yield* Effect.forkChild(chaos)
          const peers = yield* Effect.forEach(Array.from({ length: 100 }), () => connect(bound.address), {
            concurrency: 10
          })
          yield* until("all accepted", () => accepted.length >= 100 && interrupted.length > 100)
          done = true
          yield* Fiber.join(running)
          const inOrder = (ports: Array<number>) => ports.sort((one, other) => one - other)
          assert.deepStrictEqual(inOrder(accepted), inOrder(peers.map((peer) => localPort(peer) ?? -1)))
        })
    )

    /** Accepts all that come, in a fiber; each is destroyed when the scope closes. */
    const acceptAll = (bound: BoundTransport, arrive: (port: number) => void) =>
      Effect.gen(function*() {
        const connections: Array<TransportConnection> = []
        yield* Effect.addFinalizer(() => Effect.forEach(connections, (connection) => connection.destroy))
        const accepting = bound.fast!.acceptAll((connection) => {
          connections.push(connection)
          arrive(remotePort(connection))
        })
        return yield* Effect.forkScoped(accepting, { startImmediately: true })
      })

    it.live.each([511, 4])(
      "hands over clients that come in a rush together, in their order, however small the backlog (%i)",
      (backlog) =>
        Effect.gen(function*() {
          yield* rush
          const bound = yield* listen({ backlog })
          let turn = 0
          const arrived: Array<{ readonly port: number; readonly turn: number }> = []
          yield* acceptAll(bound, (port) => arrived.push({ port, turn }))
          const clients: Array<Net.Socket> = []
          for (let round = 1; round <= 10; round++) {
            clients.push(...(yield* together(bound, 4)))
            while (arrived.length < 4 * round) {
              yield* turns(1)
              turn++
            }
          }
          assert.deepStrictEqual(arrived.map(({ port }) => port), clients.map(({ localPort }) => localPort))
          // in its first round one comes alone
          const moments = new Set(arrived.map(({ turn }) => turn)).size
          assert.isTrue(moments >= 10 && moments <= 11, `${moments} moments`)
        })
    )

    it.live("loses none of a rush, after however many turns the accepting is interrupted", () =>
      Effect.gen(function*() {
        yield* rush
        const bound = yield* listen()
        for (let interruptAfter = 0; interruptAfter < 12; interruptAfter++) {
          const arrived: Array<number | undefined> = []
          const accepting = yield* acceptAll(bound, (port) => arrived.push(port))
          const clients = yield* together(bound, 5)
          yield* turns(interruptAfter)
          yield* Fiber.interrupt(accepting)
          while (arrived.length < 5) arrived.push(remotePort(yield* accept(bound)))
          assert.deepStrictEqual(arrived, clients.map(({ localPort }) => localPort))
        }
      }))

    it.live("hands over all of a rush, after however many turns it is stopped", () =>
      Effect.gen(function*() {
        yield* rush
        for (let stopAfter = 0; stopAfter < 12; stopAfter++) {
          const bound = yield* listen()
          const arrived: Array<number> = []
          yield* acceptAll(bound, (port) => arrived.push(port))
          const clients = yield* together(bound, 5)
          yield* turns(stopAfter)
          const stopping = yield* Effect.forkChild(bound.stop, { startImmediately: true })
          const moments = new Set([arrived.length])
          while (stopping.pollUnsafe() === undefined) {
            yield* turns(1)
            moments.add(arrived.length)
          }
          // what is left waits until nothing listens
          assert.isAtMost(moments.size, 2)
          assert.deepStrictEqual(arrived, clients.map(({ localPort }) => localPort))
        }
      }))

    it.live("ends those of a rush with a FIN that are waiting for the others when it is closed", () =>
      Effect.gen(function*() {
        yield* rush
        const rounds: Array<string> = []
        for (let closeAfter = 0; closeAfter < 12; closeAfter++) {
          const scope = yield* Scope.make()
          const bound = yield* Scope.provide(listen(), scope)
          const endings = { arrived: 0, fin: 0, reset: 0 }
          yield* acceptAll(bound, () => endings.arrived++)
          for (const client of yield* together(bound, 5)) {
            client.on("end", () => endings.fin++)
            client.on("error", () => endings.reset++)
            client.resume()
          }
          yield* turns(closeAfter)
          yield* Scope.close(scope, Exit.void)
          while (endings.arrived + endings.fin + endings.reset < 5) yield* turns(1)
          rounds.push(JSON.stringify(endings))
        }
        // all are accepted, one is handed over, four wait; before that the kernel has some, and after it none waits
        assert.include(rounds, JSON.stringify({ arrived: 1, fin: 4, reset: 0 }))
        assert.strictEqual(rounds.at(-1), JSON.stringify({ arrived: 5, fin: 0, reset: 0 }))
      }))

    it.live("ends connections for which the queue has no room with a FIN, whatever they had sent", () =>
      Effect.gen(function*() {
        const bound = yield* listen({ backlog: 4 })
        const peers = yield* Effect.forEach(Array.from({ length: 10 }), () => connect(bound.address), {
          concurrency: 1
        })
        yield* Effect.forEach(peers, (peer) => peer.send("hello"))
        yield* turns(20)
        const turnedAway = yield* Effect.forEach(peers.slice(4), (peer) => peer.ending)
        assert.deepStrictEqual(turnedAway, ["FIN", "FIN", "FIN", "FIN", "FIN", "FIN"])
        for (const peer of peers.slice(0, 4)) {
          yield* Effect.forkChild(answer(yield* bound.accept))
          assert.strictEqual((yield* peer.rest).data.toString(), "got hello")
        }
      }))

    // libuv 1.52 keeps accept errors to itself, so the event by which Node would tell of one is emitted here
    it.live("fails with what the listening socket reports: once, or for ever when that is its end", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        yield* connect(bound.address)
        const connection = yield* accept(bound)
        const { server } = netSocketOf(connection) as unknown as { readonly server: Net.Server }
        const report = (code: string) => server.emit("error", Object.assign(new Error(code), { code }))
        const waiting = yield* Effect.forkChild(Effect.flip(bound.accept), { startImmediately: true })
        report("EMFILE")
        assert.deepInclude(yield* Fiber.join(waiting), { class: "exhausted", code: "EMFILE" })
        report("ECONNABORTED")
        assert.deepInclude(yield* Effect.flip(bound.accept), { class: "transient", code: "ECONNABORTED" })
        // what is queued comes first
        const other = yield* connect(bound.address)
        yield* turns(3)
        report("EBADF")
        assert.strictEqual(remotePort(yield* accept(bound)), localPort(other))
        for (let i = 0; i < 3; i++) {
          report("ECONNABORTED")
          assert.deepInclude(yield* Effect.flip(bound.accept), { class: "fatal", code: "EBADF" })
        }
      }))

    it.live("can be waited in when the listening socket is closed, and then fails", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const bound = yield* Scope.provide(listen(), scope)
        const waiting = yield* Effect.forkChild(Effect.flip(bound.accept), { startImmediately: true })
        yield* Scope.close(scope, Exit.void)
        const error = yield* Fiber.join(waiting)
        assert.deepStrictEqual([error.class, error.code], ["fatal", "EBADF"])
        assert.strictEqual((yield* Effect.flip(bound.accept)).code, "EBADF")
      }))
  })

  describe("stop", () => {
    it.live("hands over 100 clients that connected while the event loop was blocked", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        let accepted = 0
        const serve = Effect.forever(Effect.flatMap(bound.accept, (connection) => {
          accepted++
          return Effect.forkChild(answer(connection))
        }))
        yield* Effect.forkChild(serve, { startImmediately: true })
        const crowd = yield* crowdOf100(bound)
        crowd.arriveWhileBlocked()
        assert.strictEqual(accepted, 0)
        yield* bound.stop
        assert.strictEqual(accepted, 100)
        assert.deepStrictEqual(yield* crowd.members, allServed)
      }))

    it.live("leaves to accept what no fiber was waiting for, and listens no more", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        const crowd = yield* crowdOf100(bound)
        crowd.arriveWhileBlocked()
        yield* bound.stop
        const refused = yield* Effect.flip(Effect.scoped(connect(bound.address)))
        assert.include(refused.message, "ECONNREFUSED")
        for (let i = 0; i < 100; i++) yield* Effect.forkChild(answer(Effect.runSync(bound.accept)))
        assert.deepStrictEqual(yield* crowd.members, allServed)
      }))

    it.live("ends although clients never stop coming, having taken what was there at the beginning", () =>
      Effect.gen(function*() {
        const bound = yield* listen({ backlog: 16 })
        const port = portOf(bound.address)
        let open = true
        const again = () => {
          const socket = Net.connect(port, "127.0.0.1")
          socket.on("error", () => {})
          socket.on("connect", () => {
            socket.destroy()
            if (open) again()
          })
        }
        for (let i = 0; i < 20; i++) again()
        yield* Effect.forkChild(Effect.forever(Effect.flatMap(bound.accept, (connection) => connection.destroy)))
        yield* turns(50)
        yield* bound.stop
        open = false
        assert.include((yield* Effect.flip(Effect.scoped(connect(bound.address)))).message, "ECONNREFUSED")
      }))

    it.live("interrupted, closes nothing", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        const stopping = yield* Effect.forkChild(bound.stop, { startImmediately: true })
        yield* Fiber.interrupt(stopping)
        const peer = yield* connect(bound.address)
        assert.strictEqual(remotePort(yield* accept(bound)), localPort(peer))
      }))

    it.live("can be asked for twice", () =>
      Effect.gen(function*() {
        const bound = yield* listen()
        yield* Effect.all([bound.stop, bound.stop], { concurrency: "unbounded" })
        yield* bound.stop
        assert.include((yield* Effect.flip(Effect.scoped(connect(bound.address)))).message, "ECONNREFUSED")
      }))
  })

  describe("bind", () => {
    it.live("interrupted between listen and `listening`, leaves the port free", () =>
      Effect.gen(function*() {
        const port = yield* Effect.scoped(Effect.map(listen(), ({ address }) => portOf(address)))
        // without a host to look up, listen(2) is called at once
        const { bind } = NodeTcp.transport({ port })
        for (let i = 0; i < 20; i++) {
          const scope = yield* Scope.make()
          const binding = yield* Effect.forkChild(Scope.provide(bind, scope), { startImmediately: true })
          assert.isUndefined(binding.pollUnsafe())
          assert.isTrue(isTaken(port))
          yield* Fiber.interrupt(binding)
          assert.isFalse(isTaken(port))
          yield* Scope.close(scope, Exit.void)
        }
      }))

    it.live("interrupted while it resolves a name, never listens", () =>
      Effect.gen(function*() {
        const port = yield* Effect.scoped(Effect.map(listen(), ({ address }) => portOf(address)))
        const binding = yield* Effect.forkChild(Effect.scoped(listen({ port, host: "localhost" })), {
          startImmediately: true
        })
        const resolves = (): boolean => process.getActiveResourcesInfo().includes("GetAddrInfoReqWrap")
        assert.isTrue(resolves())
        yield* Fiber.interrupt(binding)
        yield* until("the name is resolved", () => !resolves())
        yield* turns(3)
        assert.isFalse(isTaken(port))
      }))

    it.live("leaves the port free at once when its scope closes, whatever is still connected", () =>
      Effect.gen(function*() {
        const port = yield* Effect.scoped(Effect.map(listen(), ({ address }) => portOf(address)))
        for (let i = 0; i < 10; i++) {
          const scope = yield* Scope.make()
          const bound = yield* Scope.provide(listen({ port }), scope)
          const peer = yield* connect(bound.address)
          const connection = yield* accept(bound)
          yield* Scope.close(scope, Exit.void)
          assert.isFalse(isTaken(port))
          // the connection is not the transport's any more
          const { pull } = yield* connection.socket.reader
          yield* peer.send("still here")
          assert.strictEqual((yield* pull)[0].toString(), "still here")
        }
      }))

    it.live("ends with a FIN what was not accepted when its scope closes, and nothing is left", () =>
      Effect.gen(function*() {
        yield* until("no sockets of other tests", () => sockets() === 0)
        const scope = yield* Scope.make()
        const bound = yield* Scope.provide(listen(), scope)
        const peers = yield* Effect.forEach(Array.from({ length: 5 }), () => connect(bound.address))
        yield* Effect.forEach(peers, (peer) => peer.send("hello"))
        yield* turns(10)
        const endings = yield* Effect.forkChild(
          Effect.forEach(peers, (peer) => Effect.tap(peer.ending, () => peer.end)),
          { startImmediately: true }
        )
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* Fiber.join(endings), ["FIN", "FIN", "FIN", "FIN", "FIN"])
        for (const peer of peers) peer.socket.destroy()
        yield* turns(3)
        assert.strictEqual(sockets(), 0)
      }))

    it.live("leaves nothing behind when all connections have ended", () =>
      Effect.gen(function*() {
        yield* until("no sockets of other tests", () => sockets() === 0)
        yield* Effect.scoped(Effect.gen(function*() {
          const bound = yield* listen()
          for (let i = 0; i < 10; i++) {
            const peer = yield* connect(bound.address)
            yield* peer.send("hello")
            const served = yield* Effect.forkChild(answer(yield* bound.accept))
            assert.strictEqual((yield* peer.rest).data.toString(), "got hello")
            yield* peer.end
            yield* Fiber.join(served)
          }
          yield* bound.stop
        }))
        yield* turns(3)
        assert.strictEqual(sockets(), 0)
      }))

    it.live("can be done again with the same transport", () =>
      Effect.gen(function*() {
        const transport = NodeTcp.transport({ port: 0, host: "127.0.0.1" })
        const one = yield* transport.bind
        const two = yield* transport.bind
        assert.notStrictEqual(portOf(one.address), portOf(two.address))
      }))
  })
})

describe.runIf(process.platform === "linux")("the accept queue as the kernel has it", () => {
  it.live("is listened to until the last socket of the port is closed, and holds those that are not accepted", () =>
    Effect.gen(function*() {
      const first = yield* listenTo({ port: 0, host: "127.0.0.1", reusePort: true })
      const address = first.address() as Net.AddressInfo
      assert.deepStrictEqual(kernelQueue(address), { listened: true, waiting: 0 })
      const client = Net.connect(address.port, "127.0.0.1").on("error", () => {})
      // Node connects in the next tick, the kernel takes it in at once, and the event loop has not turned
      yield* Effect.promise(() => new Promise<void>((resume) => process.nextTick(resume)))
      assert.deepStrictEqual(kernelQueue(address), { listened: true, waiting: 1 })
      const second = yield* listenTo({ port: address.port, host: "127.0.0.1", reusePort: true })
      first.close()
      assert.strictEqual(kernelQueue(address)?.listened, true)
      second.close()
      assert.deepStrictEqual(kernelQueue(address), { listened: false, waiting: 0 })
      client.destroy()
    }))
})

describe.runIf(process.platform === "linux")(
  "the sweep of a process that stands still after it has looked at the queue",
  () => {
    it.live.each([1, 2, 3, 4])(
      "resets no client that connects then, every %i looks that see none",
      (nth) =>
        Effect.gen(function*() {
          yield* rush
          const crowds: Array<ClientsDuringBlock.Crowd> = []
          let looks = 0
          const bound = yield* bind({
            ...yield* tcpBinding({ port: 0, host: "127.0.0.1" }),
            kernelQueue: (address) => {
              const seen = kernelQueue(address)
              // not in what was seen, and before anything is done about it
              if (seen?.waiting === 0 && ++looks % nth === 0) {
                crowds.pop()?.arriveWhileBlocked()
              }
              return seen
            }
          })
          const all = yield* Effect.forEach(
            Array.from({ length: 4 }),
            () =>
              ClientsDuringBlock.make({ port: portOf(bound.address), host: "127.0.0.1" }, {
                clients: 1,
                request: "hello"
              })
          )
          let accepted = 0
          const serve = Effect.flatMap(bound.accept, (connection) => {
            accepted++
            return Effect.forkChild(answer(connection))
          })
          yield* together(bound, 1)
          yield* serve
          yield* Effect.forkChild(Effect.forever(serve), { startImmediately: true })
          crowds.push(...all)
          yield* bound.stop
          const came = all.slice(crowds.length)
          assert.isAtLeast(came.length, 1)
          for (const { members } of came) assert.deepStrictEqual(yield* members, [{ text: "got hello", ending: "FIN" }])
          // none of its own
          assert.strictEqual(accepted, 1 + came.length)
        })
    )
  }
)

describe.runIf(process.platform === "linux")("the sweep of a socket on which others listen that stop with it", () => {
  /** A sweep that has a client, while another socket of the port listens. */
  const sweep = Effect.gen(function*() {
    const port = yield* freePort
    const options = { port, host: "127.0.0.1", reusePort: true }
    const shared: SharedSocket = {
      fd: -1,
      handle: undefined,
      boundTo: { kind: "tcp", host: options.host, port },
      stopsWithOthers: true,
      gate: new Gate(true),
      listens: () => {},
      fails: () => {},
      probing: undefined,
      close: () => {}
    }
    const bound = yield* bind({ ...yield* tcpBinding(options), shared })
    const served = yield* Effect.forkChild(accept(bound), { startImmediately: true })
    const client = Net.connect(port, options.host).on("error", () => {})
    yield* Effect.addFinalizer(() => Effect.sync(() => client.destroy()))
    const stopping = yield* Effect.forkChild(bound.stop, { startImmediately: true })
    const other = yield* listenTo(options)
    return { other, served, stopping }
  })

  it.effect("is answered when the last of them has stopped: answered before, it would come back to that one", () =>
    Effect.gen(function*() {
      const { other, served, stopping } = yield* sweep
      for (let look = 0; look < 10; look++) {
        yield* turns(3)
        yield* TestClock.adjust("2 millis")
      }
      assert.isUndefined(served.pollUnsafe())
      other.close()
      yield* TestClock.adjust("2 millis")
      yield* Fiber.join(served)
      yield* Fiber.join(stopping)
    }))

  it.effect("waits 250 ms for them", () =>
    Effect.gen(function*() {
      const { served, stopping } = yield* sweep
      yield* turns(20)
      yield* TestClock.adjust("249 millis")
      assert.isUndefined(served.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(served)
      yield* Fiber.join(stopping)
    }))
})

/** A server of Node's that listens, closed with the scope. */
const listenTo = (options: Net.ListenOptions) =>
  Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer().listen(options, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )

const freePort = Effect.scoped(
  Effect.map(listenTo({ port: 0, host: "127.0.0.1" }), (server) => (server.address() as Net.AddressInfo).port)
)

/** Whether a process listens on a port, found out at once: without a host to look up, listen(2) is called at once. */
const isTaken = (port: number): boolean => {
  const server = Net.createServer()
  server.on("error", () => {})
  server.listen(port)
  const taken = !server.listening
  server.close()
  return taken
}

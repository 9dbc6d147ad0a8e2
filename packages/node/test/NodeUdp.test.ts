import * as DatagramListener from "@effect-listener/core/DatagramListener"
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerHost from "@effect-listener/core/ListenerHost"
import * as ListenerInspector from "@effect-listener/node/ListenerInspector"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeUdp from "@effect-listener/node/NodeUdp"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as NetAddress from "effect/net/NetAddress"
import type { DatagramSocketError } from "effect/socket/DatagramSocket"
import * as Stream from "effect/Stream"
import * as Dgram from "node:dgram"
import * as Channel from "node:diagnostics_channel"
import * as Os from "node:os"
import { stopReceiving } from "../src/internal/datagrams/receiving.ts"
import { openPort, quiet, start, until } from "./support/listening.ts"
import { turns } from "./support/resources.ts"
import { client } from "./support/udpClient.ts"

const host = "127.0.0.1"

const listen = (
  options?: Partial<NodeUdp.TransportOptions>,
  listener?: DatagramListener.DatagramListenerOptions
) => DatagramListener.listen(NodeUdp.transport({ host, port: 0, ...options }), listener)

const echo = (datagram: DatagramListener.Datagram, reply: DatagramListener.Reply) => reply(datagram.payload)

const serve = (
  listener: DatagramListener.DatagramListener,
  handler: (
    datagram: DatagramListener.Datagram,
    reply: DatagramListener.Reply
  ) => Effect.Effect<unknown, unknown> = echo
) => start(DatagramListener.serve(listener, handler))

const hasIpv6 = Object.values(Os.networkInterfaces()).flat().some((one) => one?.address === "::1")

/** The sockets that `node:dgram` makes meanwhile: Node tells of each on a channel. */
const madeSockets = Effect.acquireRelease(
  Effect.sync(() => {
    const sockets: Array<Dgram.Socket> = []
    const onMade = (message: unknown) => sockets.push((message as { readonly socket: Dgram.Socket }).socket)
    Channel.subscribe("udp.socket", onMade)
    return { sockets, onMade }
  }),
  ({ onMade }) => Effect.sync(() => Channel.unsubscribe("udp.socket", onMade))
)

describe("a bind", () => {
  it.live("fails by name where it cannot be had", () =>
    Effect.gen(function*() {
      const first = yield* listen()
      const port = yield* openPort(first)
      const bad = (options: Partial<NodeUdp.TransportOptions>) =>
        Effect.map(Effect.flip(listen(options)), (error) =>
          `${error._tag} ${"parameter" in error ? error.parameter : ""}`)
      assert.strictEqual(yield* bad({ port }), "AddressInUse ")
      assert.strictEqual(yield* bad({ host: "203.0.113.1" }), "AddressNotAvailable ")
      assert.strictEqual(yield* bad({ host: "no-such-name.invalid" }), "AddressNotAvailable ")
      for (const port of [-1, 65_536, 1.5, Number.NaN]) {
        assert.strictEqual(yield* bad({ port }), "InvalidArgument port")
      }
      for (const host of ["", "a\0b"]) {
        assert.strictEqual(yield* bad({ host }), "InvalidArgument host")
      }
      for (const recvBufferSize of [0, -1, 1.5, 2 ** 31]) {
        assert.strictEqual(yield* bad({ recvBufferSize }), "InvalidArgument recvBufferSize")
      }
      assert.strictEqual(yield* bad({ sendBufferSize: 0 }), "InvalidArgument sendBufferSize")
      assert.strictEqual(yield* bad({ inherit: { name: "dns", required: true } }), "AddressNotAvailable ")
    }))

  it.live("fails by name for groups that cannot be joined, and lets go of the port", () =>
    Effect.gen(function*() {
      const first = yield* listen()
      const port = yield* openPort(first)
      yield* first.close()
      const bad = (membership: NodeUdp.Membership) =>
        Effect.map(
          Effect.flip(listen({ port, host: "0.0.0.0", multicast: [membership] })),
          (error) => `${error._tag} ${"parameter" in error ? error.parameter : "address" in error ? error.address : ""}`
        )
      for (const group of ["10.0.0.1", "nonsense", "", "ff02::1"]) {
        assert.strictEqual(yield* bad({ group }), "InvalidArgument multicast")
      }
      assert.strictEqual(yield* bad({ group: "239.1.2.3", source: "::1" }), "InvalidArgument multicast")
      assert.strictEqual(yield* bad({ group: "239.1.2.3", interface: "" }), "InvalidArgument multicast")
      assert.strictEqual(
        yield* bad({ group: "239.1.2.3", interface: "203.0.113.1" }),
        "AddressNotAvailable 239.1.2.3 on 203.0.113.1"
      )
      yield* listen({ port, host: "0.0.0.0" })
    }))

  it.live("serves IPv4 and IPv6 on one socket where no host is given, each answered by the port it asked", () =>
    Effect.gen(function*() {
      const listener = yield* DatagramListener.listen(NodeUdp.transport({ port: 0 }))
      const remotes: Array<string> = []
      yield* serve(listener, (datagram, reply) => {
        remotes.push(NetAddress.formatSocketAddress(datagram.remote).replace(/:\d+$/, ""))
        return reply("answer")
      })
      const port = yield* openPort(listener)
      const four = yield* client("udp4")
      yield* four.send("x", port)
      yield* four.answered(1)
      assert.deepStrictEqual([four.from?.address, four.from?.port], [host, port])
      if (hasIpv6) {
        const six = yield* client("udp6")
        yield* six.send("x", port, "::1")
        yield* six.answered(1)
        assert.deepStrictEqual([six.from?.address, six.from?.port], ["::1", port])
        assert.deepStrictEqual(remotes, [host, "[::1]"])
      }
    }))

  it.live("sets the buffers, and nothing of a socket is left when its scope closes", () =>
    Effect.gen(function*() {
      const made = yield* madeSockets
      yield* Effect.scoped(Effect.gen(function*() {
        yield* listen({ recvBufferSize: 50_000, sendBufferSize: 40_000 })
        const [socket] = made.sockets
        // Linux doubles them
        assert.isAtLeast(socket!.getRecvBufferSize(), 50_000)
        assert.isAtMost(socket!.getRecvBufferSize(), 100_000)
        assert.isAtLeast(socket!.getSendBufferSize(), 40_000)
      }))
      assert.throws(() => made.sockets[0]!.address())
    }))

  it.live("joins groups, and two sockets that share a port get a copy each", () =>
    Effect.gen(function*() {
      const multicast = [{ group: "239.255.77.77", interface: host }]
      const first = yield* DatagramListener.listen(NodeUdp.transport({ port: 0, reuseAddress: true, multicast }))
      const port = yield* openPort(first)
      const second = yield* DatagramListener.listen(NodeUdp.transport({ port, reuseAddress: true, multicast }))
      yield* serve(first, (_, reply) => reply("first"))
      yield* serve(second, (_, reply) => reply("second"))
      const sender = yield* client()
      sender.socket.setMulticastInterface(host)
      sender.socket.setMulticastLoopback(true)
      yield* sender.send("to all", port, "239.255.77.77")
      yield* sender.answered(2)
      assert.deepStrictEqual([...sender.answers].sort(), ["first", "second"])
    }))
})

describe("a close", () => {
  it.live("answers all of 201 datagrams that wait in the kernel, ten times, where bare dgram answers none", () =>
    Effect.gen(function*() {
      const lost: { readonly ours: Array<number>; readonly bare: Array<number> } = { ours: [], bare: [] }
      for (let round = 0; round < 10; round++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const sender = yield* client()
          const listener = yield* listen()
          yield* serve(listener)
          yield* sender.burst(201, yield* openPort(listener))
          const report = yield* listener.close()
          lost.ours.push(201 - (report.datagrams?.answered ?? 0))
          yield* sender.answered(201)
        }))
        yield* Effect.scoped(Effect.gen(function*() {
          const sender = yield* client()
          const bare = Dgram.createSocket("udp4")
          bare.on("message", (payload, { address, port }) => bare.send(payload, port, address))
          yield* Effect.callback<void>((resume) => void bare.bind(0, host, () => resume(Effect.void)))
          yield* sender.burst(201, bare.address().port)
          bare.close()
          yield* turns(4)
          lost.bare.push(201 - sender.answers.length)
        }))
      }
      console.log("lost of 201 that waited in the kernel, at each of 10 closes:", JSON.stringify(lost))
      assert.deepStrictEqual(lost.ours, Array.from({ length: 10 }, () => 0))
    }).pipe(quiet))

  it.live("lets slow answers leave before the socket goes, and reads no more meanwhile", () =>
    Effect.gen(function*() {
      const made = yield* madeSockets
      const listener = yield* listen()
      const [socket] = made.sockets
      const port = yield* openPort(listener)
      let closed = false
      socket!.on("close", () => {
        closed = true
      })
      yield* serve(listener, (datagram, reply) =>
        Effect.andThen(
          Effect.sleep(500),
          Effect.suspend(() => {
            assert.isFalse(closed)
            return reply(datagram.payload)
          })
        ))
      const sender = yield* client()
      yield* sender.burst(20, port)
      const closing = yield* start(listener.close())
      yield* Stream.runDrain(Stream.takeUntil(listener.progress, ({ stage }) => stage === "Draining"))
      // stays in the kernel, where another process that has the socket would find it
      yield* sender.send("late", port)
      const report = yield* Fiber.join(closing)
      yield* sender.answered(20)
      assert.isTrue(closed)
      assert.deepStrictEqual([report.datagrams?.answered, report.datagrams?.dropped.transport], [20, 0])
    }))

  it.live("drops and counts what comes late where Node cannot be told to stop reading", () =>
    Effect.gen(function*() {
      const made = yield* madeSockets
      const listener = yield* listen()
      const [socket] = made.sockets
      const state = Object.getOwnPropertySymbols(socket).find(({ description }) => description === "state symbol")
      const handle = (Reflect.get(socket!, state!) as { readonly handle: { recvStop: unknown } }).handle
      // as another Node might be
      Object.defineProperty(handle, "recvStop", { value: undefined, configurable: true })
      const gate = yield* Deferred.make<void>()
      yield* serve(listener, (datagram, reply) => Effect.andThen(Deferred.await(gate), reply(datagram.payload)))
      const port = yield* openPort(listener)
      const sender = yield* client()
      yield* sender.burst(3, port)
      const closing = yield* start(listener.close())
      yield* Stream.runDrain(Stream.takeUntil(listener.progress, ({ stage }) => stage === "Draining"))
      yield* sender.burst(5, port)
      yield* turns(5)
      // Node calls it, too, when it closes
      Reflect.deleteProperty(handle, "recvStop")
      yield* Deferred.succeed(gate, undefined)
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual([report.datagrams?.answered, report.datagrams?.dropped.transport], [3, 5])
    }))

  it.live("ends under a storm: what was in the kernel has an end", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      yield* serve(listener)
      const port = yield* openPort(listener)
      const sender = yield* client()
      let storm = true
      // each turn brings more than the sweep waits for to be quiet
      const blow = () => {
        for (let i = 0; i < 40 && storm; i++) sender.socket.send("x", port, host)
        if (storm) setImmediate(blow)
      }
      blow()
      yield* sender.answered(200)
      const report = yield* listener.close()
      storm = false
      assert.strictEqual(report.outcome, "Drained")
      assert.isFalse(report.sweepCut)
    }))

  it("Node's own handle can be told to stop reading", async () => {
    const socket = Dgram.createSocket("udp4")
    await new Promise<void>((resolve) => socket.bind(0, host, resolve))
    assert.isTrue(stopReceiving(socket))
    socket.close()
  })
})

describe("errors", () => {
  const kindOf = ({ reason }: DatagramSocketError): string => "kind" in reason ? reason.kind : reason._tag

  it.live("an answer that is too large fails by its kind, and nothing else does", () =>
    Effect.gen(function*() {
      const kinds: Array<string> = []
      const listener = yield* listen()
      yield* serve(
        listener,
        (datagram, reply) =>
          datagram.payload.length === 1
            ? Effect.catch(reply(new Uint8Array(70_000)), (error) => {
              kinds.push(kindOf(error))
              return reply(`too large: ${kindOf(error)}`)
            })
            : reply(datagram.payload)
      )
      const port = yield* openPort(listener)
      const sender = yield* client()
      yield* sender.send("x", port)
      yield* sender.send("still there", port)
      yield* sender.answered(2)
      assert.deepStrictEqual([...sender.answers].sort(), ["still there", "too large: MessageTooLarge"])
      assert.deepStrictEqual(kinds, ["MessageTooLarge"])
    }))

  it.live("peers that are gone never end the listener", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      const allGone = yield* Deferred.make<void>()
      let answered = 0
      yield* serve(listener, (datagram, reply) =>
        Deferred.await(allGone).pipe(
          Effect.andThen(reply(datagram.payload)),
          Effect.ensuring(Effect.sync(() => answered++))
        ))
      const port = yield* openPort(listener)
      for (let i = 0; i < 20; i++) yield* Effect.scoped(Effect.flatMap(client(), (gone) => gone.send("x", port)))
      yield* Deferred.succeed(allGone, undefined)
      yield* until("all have been answered", () => answered === 20)
      const sender = yield* client()
      yield* sender.send("here", port)
      yield* sender.answered(1)
      assert.strictEqual(yield* listener.state, "Open")
      assert.strictEqual((yield* listener.close()).datagrams?.received, 21)
    }))

  it.live("of receiving are counted and survived, as an ICMP answer is that Node reports", () =>
    Effect.gen(function*() {
      const made = yield* madeSockets
      const listener = yield* listen()
      yield* serve(listener)
      for (let i = 0; i < 50; i++) {
        made.sockets[0]!.emit("error", Object.assign(new Error("recvmsg ECONNREFUSED"), { code: "ECONNREFUSED" }))
        yield* turns(1)
      }
      const sender = yield* client()
      yield* sender.send("x", yield* openPort(listener))
      yield* sender.answered(1)
      assert.strictEqual(yield* listener.state, "Open")
    }).pipe(quiet))

  it.live("a socket that the application closes faults the listener, whose close still reports", () =>
    Effect.gen(function*() {
      const made = yield* madeSockets
      const listener = yield* listen()
      const served = yield* serve(listener, () => Effect.never)
      const sender = yield* client()
      yield* sender.send("x", yield* openPort(listener))
      yield* Effect.repeat(Effect.andThen(turns(1), listener.exchanges), { until: (all) => all.length === 1 })
      made.sockets[0]!.close()
      const error = yield* Effect.flip(Fiber.join(served))
      assert.strictEqual(error._tag, "ListenerFaulted")
      assert.strictEqual(yield* listener.state, "Faulted")
      const timedOut = yield* Effect.flip(listener.close({ deadline: 50 }))
      assert.strictEqual(timedOut._tag, "OperationTimedOut")
      yield* listener.reset
      yield* listener.open
    }).pipe(quiet))

  it.live("a sender that claims port 0 gets no answer, and does no harm", () =>
    Effect.gen(function*() {
      const made = yield* madeSockets
      const listener = yield* listen()
      const kinds: Array<string> = []
      yield* serve(listener, (_, reply) =>
        Effect.catch(reply("x"), (error) => {
          kinds.push(kindOf(error))
          return Effect.void
        }))
      made.sockets[0]!.emit("message", Buffer.from("x"), { address: host, family: "IPv4", port: 0, size: 1 })
      yield* turns(2)
      assert.deepStrictEqual(kinds, ["Unreachable"])
      assert.strictEqual((yield* listener.close()).datagrams?.answered, 1)
    }))
})

describe("with TCP on one port number", () => {
  it.live("a host opens and closes both as one, and the inspector shows both", () =>
    Effect.gen(function*() {
      const tcp = yield* Listener.make(NodeTcp.transport({ host, port: 0 }), { name: "tcp" })
      yield* tcp.open
      const port = yield* openPort(tcp)
      yield* tcp.close()
      const again = yield* Listener.make(NodeTcp.transport({ host, port }), { name: "tcp" })
      const udp = yield* DatagramListener.make(NodeUdp.transport({ host, port }), { name: "udp" })
      const hosting = yield* ListenerHost.make([again, udp])
      yield* start(DatagramListener.serve(udp, () => Effect.sleep(300), { label: () => "query" }))
      const sender = yield* client()
      yield* sender.send("x", port)
      yield* Effect.repeat(Effect.andThen(turns(1), udp.exchanges), { until: (all) => all.length === 1 })
      const seen = yield* ListenerInspector.inspect(hosting)
      assert.deepStrictEqual(seen.listeners.map(({ address, name, ready }) => [name, address, ready]), [
        ["tcp", `${host}:${port}`, true],
        ["udp", `${host}:${port}`, true]
      ])
      assert.deepStrictEqual(seen.listeners[1]!.connections.map(({ exchanges }) => exchanges[0]?.label), ["query"])
      const report = yield* hosting.close()
      assert.deepStrictEqual([report.outcome, report.totals.connections.drained], ["Drained", 1])
      assert.strictEqual(report.listeners[1]?.datagrams?.answered, 1)
    }))
})

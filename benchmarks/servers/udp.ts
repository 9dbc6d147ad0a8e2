/** UDP servers that send back what they receive: `node udp.ts <who>`. */
import * as DatagramListener from "@effect-listener/core/DatagramListener"
import * as NodeUdp from "@effect-listener/node/NodeUdp"
import * as NodeDatagramSocket from "@effect/platform-node/NodeDatagramSocket"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Dgram from "node:dgram"
import { announce } from "../support/childServer.ts"

const host = "127.0.0.1"

/** Bytes that may wait in the kernel, the same for all; Linux allows what it allows. */
const recvBufferSize = 1 << 20

const portOf = (address: NetAddress.SocketAddress): number => {
  if (!NetAddress.isInetAddress(address)) throw new Error("no port")
  return address.port
}

const ours =
  (handler: (datagram: DatagramListener.Datagram, reply: DatagramListener.Reply) => Effect.Effect<unknown, unknown>) =>
  () => {
    const program = Effect.gen(function*() {
      const listener = yield* DatagramListener.listen(NodeUdp.transport({ host, port: 0, recvBufferSize }))
      announce(portOf(yield* listener.address))
      yield* DatagramListener.serve(listener, handler)
    })
    Effect.runFork(Effect.scoped(program))
  }

const servers: Record<string, () => void> = {
  bare: () => {
    const socket = Dgram.createSocket({ type: "udp4", recvBufferSize })
    socket.on("message", (payload, { address, port }) => socket.send(payload, port, address))
    socket.bind(0, host, () => announce(socket.address().port))
  },
  effect: () => {
    const program = Effect.gen(function*() {
      const socket = yield* NodeDatagramSocket.make({
        bind: { address: host, port: 0 },
        kernelReceiveBufferSize: recvBufferSize
      })
      const reader = yield* socket.reader
      const writer = yield* socket.writer
      announce(reader.address.port)
      while (true) {
        for (const datagram of yield* reader.pull) {
          yield* writer.write({ payload: datagram.payload, address: datagram })
        }
      }
    })
    Effect.runFork(Effect.scoped(program))
  },
  ours: ours((datagram, reply) => reply(datagram.payload)),
  /** Ours, where the handler is more than a reply, and so has a fiber. */
  fiber: ours(Effect.fnUntraced(function*(datagram, reply) {
    yield* reply(datagram.payload)
  }))
}

servers[process.argv[2]!]!()

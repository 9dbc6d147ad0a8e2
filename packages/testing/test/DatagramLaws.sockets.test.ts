import { NodeUdp } from "@effect-listener/node"
import * as DatagramLaws from "@effect-listener/testing/DatagramLaws"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Dgram from "node:dgram"

const client = (host: string, port: number): Effect.Effect<DatagramLaws.Client, never, Scope.Scope> =>
  Effect.gen(function*() {
    const received = yield* Queue.unbounded<Uint8Array>()
    const socket = yield* Effect.acquireRelease(
      Effect.callback<Dgram.Socket>((resume) => {
        const socket = Dgram.createSocket({ type: host === "::1" ? "udp6" : "udp4", recvBufferSize: 1 << 20 })
        socket.on("message", (payload) => Queue.offerUnsafe(received, payload))
        socket.bind(0, host, () => resume(Effect.succeed(socket)))
      }),
      (socket) => Effect.callback<void>((resume) => void socket.close(() => resume(Effect.void)))
    )
    const fill = (payloads: ReadonlyArray<Uint8Array>) =>
      Effect.callback<void, Error>((resume) => {
        // over loopback it is in the server's socket when the call returns; Node calls back when the loop has turned
        for (const payload of payloads.slice(0, -1)) socket.send(payload, port, host)
        socket.send(
          payloads.at(-1)!,
          port,
          host,
          (error) => resume(error === null ? Effect.void : Effect.fail(error))
        )
      })
    return { send: (payload) => fill([payload]), fill, receive: Queue.take(received) }
  })

const udp = (host: string): DatagramLaws.MakeSubject =>
  Effect.gen(function*() {
    const { address } = yield* Effect.scoped(NodeUdp.transport({ host, port: 0 }).bind)
    const port = NetAddress.isInetAddress(address) ? address.port : 0
    return {
      transport: NodeUdp.transport({ host, port }),
      client: client(host, port),
      largest: 65_507,
      tooLarge: 70_000
    }
  })

DatagramLaws.suite("UDP over IPv4", udp("127.0.0.1"))
DatagramLaws.suite("UDP over IPv6", udp("::1"))

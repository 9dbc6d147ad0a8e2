/** Queries for the DNS example, by the resolver of Node and by hand. */
import * as Packet from "dns-packet"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Dgram from "node:dgram"
import * as Net from "node:net"
import * as Process from "../../../packages/node/test/support/process.ts"

export const start = (env: Record<string, string> = {}) =>
  Process.start(new URL("../../dns.ts", import.meta.url), {
    // what the shell of the tests has set is not theirs
    env: { PORT: "", HOST: "", DRAIN_DEADLINE_MS: "", LAME_DUCK_MS: "", MAX_CONNECTIONS: "", ...env }
  })

export const query = (id: number, type: Packet.RecordType, name: string): Buffer =>
  Packet.encode({ type: "query", id, flags: Packet.RECURSION_DESIRED, questions: [{ type, name }] })

export const framed = (message: Uint8Array): Buffer =>
  Buffer.concat([Uint8Array.of(message.length >> 8, message.length & 255), message])

/** Answers by the numbers of their queries, however they come. */
export class Answers {
  readonly byId = new Map<number, Packet.DecodedPacket>()
  private onAnswer: () => void = () => {}

  add(message: Uint8Array): void {
    const answer = Packet.decode(Buffer.from(message))
    this.byId.set(answer.id ?? -1, answer)
    this.onAnswer()
  }

  /** Waits for the answer to this query. */
  of(id: number): Effect.Effect<Packet.DecodedPacket> {
    return Effect.callback((resume) => {
      const look = () => {
        const answer = this.byId.get(id)
        if (answer !== undefined) resume(Effect.succeed(answer))
      }
      this.onAnswer = look
      look()
    })
  }
}

export interface Client {
  readonly answers: Answers
  /** Completes when the kernel of this machine has it. */
  readonly send: (message: Uint8Array) => Effect.Effect<void>
}

export const udp = (port: number): Effect.Effect<Client & { readonly socket: Dgram.Socket }, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Dgram.Socket>((resume) => {
        const socket = Dgram.createSocket({ type: "udp4", recvBufferSize: 1 << 20 })
        socket.bind(0, "127.0.0.1", () => resume(Effect.succeed(socket)))
      }),
      (socket) => Effect.callback<void>((resume) => void socket.close(() => resume(Effect.void)))
    ),
    (socket) => {
      const answers = new Answers()
      socket.on("message", (message) => answers.add(message))
      return {
        socket,
        answers,
        send: (message) =>
          Effect.callback<void>((resume) => socket.send(message, port, "127.0.0.1", () => resume(Effect.void)))
      }
    }
  )

export const tcp = (
  port: number
): Effect.Effect<Client & { readonly socket: Net.Socket; readonly ended: Effect.Effect<void> }, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Net.Socket>((resume) => {
        const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true }, () => resume(Effect.succeed(socket)))
        socket.on("error", () => {})
      }),
      (socket) => Effect.sync(() => socket.destroy())
    ),
    (socket) => {
      const answers = new Answers()
      let buffered = Buffer.alloc(0)
      socket.on("data", (bytes) => {
        buffered = Buffer.concat([buffered, bytes])
        while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE()) {
          const end = 2 + buffered.readUInt16BE()
          answers.add(buffered.subarray(2, end))
          buffered = buffered.subarray(end)
        }
      })
      const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()))
      return {
        socket,
        answers,
        send: (message) => Effect.callback<void>((resume) => void socket.write(message, () => resume(Effect.void))),
        ended: Effect.promise(() => closed)
      }
    }
  )

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as NetAddress from "effect/net/NetAddress"
import type { Client } from "../../MemoryDatagrams.ts"
import { Waiters } from "./waiters.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export class MemoryDatagramClient implements Client {
  readonly local: NetAddress.SocketAddress
  private readonly sendToServer: (payload: Uint8Array) => void
  private readonly queue: Array<Uint8Array> = []
  private readonly waiters: Waiters<Uint8Array, never>

  constructor(local: NetAddress.SocketAddress, sendToServer: (payload: Uint8Array) => void) {
    this.local = local
    this.sendToServer = sendToServer
    this.waiters = new Waiters<Uint8Array, never>({
      take: () => {
        const first = this.queue.shift()
        return first === undefined ? undefined : Exit.succeed(first)
      },
      giveBack: (payload) => {
        this.queue.unshift(payload)
        this.waiters.serve()
      },
      late: false
    })
  }

  arrive(payload: Uint8Array): void {
    this.queue.push(payload)
    this.waiters.serve()
  }

  readonly send = (payload: Uint8Array | string): Effect.Effect<void> =>
    Effect.sync(() => this.sendToServer(typeof payload === "string" ? encoder.encode(payload) : payload))

  readonly receive: Effect.Effect<Uint8Array> = Effect.suspend(() => this.waiters.receive(1))

  readonly receiveText: Effect.Effect<string> = Effect.map(this.receive, (payload) => decoder.decode(payload))

  readonly received: Effect.Effect<ReadonlyArray<string>> = Effect.sync(() =>
    this.queue.map((payload) => decoder.decode(payload))
  )
}

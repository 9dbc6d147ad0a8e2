/**
 * Queries at a rate, over UDP and on TCP connections that stay, and which of them
 * were answered.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Client, framed, query, tcp, udp } from "./dnsClient.ts"

export interface Load {
  /** Those that this machine's kernel has. */
  readonly sent: () => ReadonlyArray<Sent>
  readonly unanswered: (sent: ReadonlyArray<Sent>) => ReadonlyArray<string>
}

export interface Sent {
  readonly over: string
  readonly client: Client
  readonly id: number
}

/** How many queries of one socket can be told apart: a number has 16 bits. */
const numbers = 65_536

/** One after another, as their numbers are used up. */
const sockets = 8

/** Most are answered at once, and some take their time. */
const question = (id: number): Buffer => id % 20 === 0 ? query(id, "TXT", "sleep-30.test") : query(id, "A", "one.test")

/** How many datagrams wait for their answers at most: the kernel drops those that it has no room for. */
const mostWaiting = 1000

/** Sends `perSecond` over each of UDP and, where it is wanted, TCP, until the scope closes. */
export const load = (
  port: number,
  { connections = 4, perSecond }: { readonly connections?: number; readonly perSecond: number }
): Effect.Effect<Load, never, Scope.Scope> =>
  Effect.gen(function*() {
    const sent: Array<Sent> = []
    const overUdp = yield* Effect.forEach(Array.from({ length: sockets }), () => udp(port))
    const overTcp = yield* Effect.forEach(Array.from({ length: connections }), () => tcp(port))
    let count = 0
    const start = performance.now()
    const waiting = (): number => overUdp.reduce((waiting, { answers }) => waiting - answers.byId.size, count)
    const tick = (): void => {
      const most = count + mostWaiting - waiting()
      for (; count < most && count < (performance.now() - start) / 1000 * perSecond; count++) {
        const id = count % numbers
        const client = overUdp[Math.floor(count / numbers)]
        client?.socket.send(question(id), port, "127.0.0.1", (error) => {
          if (error === null) sent.push({ over: "UDP", client, id })
        })
        const stream = count < numbers ? overTcp[id % overTcp.length] : undefined
        stream?.socket.write(framed(question(id)), (error) => {
          if (error == null) sent.push({ over: "TCP", client: stream, id })
        })
      }
    }
    yield* Effect.acquireRelease(Effect.sync(() => setInterval(tick, 2)), (timer) =>
      Effect.sync(() => clearInterval(timer)))
    return {
      sent: () =>
        sent.slice(),
      unanswered: (sent) =>
        sent.filter(({ client, id }) => !client.answers.byId.has(id)).map(({ id, over }) => `${over} ${id}`)
    }
  })

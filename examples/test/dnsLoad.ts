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

/** Most are answered at once, and some take their time. */
const question = (id: number): Buffer => id % 20 === 0 ? query(id, "TXT", "sleep-30.test") : query(id, "A", "one.test")

/** Sends `perSecond` over each of UDP and, where it is wanted, TCP, until the scope closes. */
export const load = (
  port: number,
  { connections = 4, perSecond }: { readonly connections?: number; readonly perSecond: number }
): Effect.Effect<Load, never, Scope.Scope> =>
  Effect.gen(function*() {
    const sent: Array<Sent> = []
    const overUdp = yield* udp(port)
    const overTcp = yield* Effect.forEach(Array.from({ length: connections }), () => tcp(port))
    let id = 0
    const start = performance.now()
    const tick = (): void => {
      // a query has 16 bits for its number
      for (; id < (performance.now() - start) / 1000 * perSecond && id < 65_536; id++) {
        const number = id
        overUdp.socket.send(question(number), port, "127.0.0.1", (error) => {
          if (error === null) sent.push({ over: "UDP", client: overUdp, id: number })
        })
        const stream = overTcp[number % overTcp.length]
        stream?.socket.write(framed(question(number)), (error) => {
          if (error == null) sent.push({ over: "TCP", client: stream, id: number })
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

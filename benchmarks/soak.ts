/**
 * Listeners under load, faults and bad clients, opened and closed for as long
 * as one likes:
 *
 *     pnpm soak [minutes]
 *     SOAK_SEED=17 pnpm soak 10
 *
 * Ends with a table, and with exit code 1 when an executed request lost its
 * answer, something leaked, the metrics did not add up, or a close took longer
 * than it may.
 */
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeTls from "@effect-listener/node/NodeTls"
import * as Effect from "effect/Effect"
import { selfSigned } from "../packages/node/test/support/certificates.ts"
import type { Kind } from "./soak/life.ts"
import { http, lines } from "./soak/protocols.ts"
import { soak } from "./soak/rounds.ts"
import { Tally } from "./soak/tally.ts"

const minutes = Number(process.argv[2] ?? 3)
if (!(minutes > 0)) {
  process.stderr.write("usage: pnpm soak [minutes]\n")
  process.exit(1)
}
const seed = process.env["SOAK_SEED"] ?? String(Math.floor(Math.random() * 2 ** 31))

const tcp = NodeTcp.transport({ host: "127.0.0.1", port: 0 })
const tls = NodeTls.transport({ host: "127.0.0.1", port: 0, ...selfSigned() })
const plain = (port: number) => ({ port })
const secure = (port: number) => ({ port, tls: {} })

const kinds: ReadonlyArray<Kind> = [
  { name: "lines over TCP", transport: tcp, protocol: lines, target: plain, faulty: true },
  { name: "lines over TLS", transport: tls, protocol: lines, target: secure, faulty: true },
  { name: "HTTP", transport: tcp, protocol: http, target: plain, faulty: false },
  { name: "HTTPS", transport: tls, protocol: http, target: secure, faulty: false }
]

/** A line that changes on a terminal, and a line every ten seconds elsewhere. */
const show = (tally: Tally, begun: number): () => void => {
  const live = process.stderr.isTTY
  const timer = setInterval(() => {
    const text = `${Math.round((performance.now() - begun) / 1000)} s · ${tally.line}`
    process.stderr.write(live ? `\r\x1b[2K${text}` : `${text}\n`)
  }, live ? 200 : 10_000)
  return () => {
    clearInterval(timer)
    if (live) process.stderr.write("\r\x1b[2K")
  }
}

const tally = new Tally()
console.log(`soaking for ${minutes} minutes, seed ${seed}`)
const hide = show(tally, performance.now())
await Effect.runPromise(soak(kinds, { minutes, seed, tally }))
hide()
for (const finding of tally.findings) console.log(`FOUND ${finding}`)
console.log(tally.table)
console.log(tally.passed ? "passed" : "FAILED")
process.exitCode = tally.passed ? 0 : 1

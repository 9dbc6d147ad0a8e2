/**
 * Clients that are served: each sends a message every so often and measures when
 * its echo is there.
 */
import * as Net from "node:net"
import { answer } from "./child.ts"

export interface Latencies {
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly messages: number
}

const [port, count, every] = process.argv.slice(2).map(Number) as [number, number, number]
const message = Buffer.alloc(64, "x")
let latencies: Array<number> = []

/** Answers when its first echo is there: they do not all begin at the same moment. */
const client = (): Promise<void> =>
  new Promise((resolve, reject) => {
    let sentAt = 0
    let received = 0
    const send = () => {
      sentAt = performance.now()
      socket.write(message)
    }
    const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true }, send)
    socket.on("error", reject)
    socket.on("close", () => process.exit(1))
    socket.on("data", (chunk) => {
      received += chunk.length
      if (received < message.length) return
      received = 0
      latencies.push(performance.now() - sentAt)
      resolve()
      // spread, as clients of their own would be
      setTimeout(send, every * (0.5 + Math.random()))
    })
  })

for (let i = 0; i < count; i++) await client()

answer((question: "begin" | "end"): Latencies | object => {
  const sorted = latencies.sort((a, b) => a - b)
  latencies = []
  if (question === "begin") return {}
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN
  return { p50: at(0.5), p99: at(0.99), messages: sorted.length }
})
process.send!({})

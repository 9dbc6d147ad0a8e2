/**
 * Requests at a rate, whatever the answers take: `node rate.ts <port>
 * <connections> <per second> <ms>` prints how long they took from when they were
 * sent, in milliseconds. Every millisecond those are sent that are due; with no
 * connection free they wait, and the wait counts.
 */
import * as Net from "node:net"

const [port, connections, rate, millis] = process.argv.slice(2).map(Number) as [number, number, number, number]
const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
const took: Array<number> = []
const free: Array<(since: number) => void> = []
const waiting: Array<number> = []

const connect = (): Promise<void> =>
  new Promise((resolve, reject) => {
    let since = 0
    const ask = (due: number): void => {
      since = due
      socket.write(request)
    }
    const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true }, () => {
      free.push(ask)
      resolve()
    })
    socket.on("error", reject)
    socket.on("data", () => {
      took.push(performance.now() - since)
      const due = waiting.shift()
      if (due === undefined) free.push(ask)
      else ask(due)
    })
  })

await Promise.all(Array.from({ length: connections }, connect))
const start = performance.now()
let sent = 0
const tick = (): void => {
  const now = performance.now()
  if (now - start > millis) return finish()
  for (; sent < (now - start) / 1000 * rate; sent++) {
    const ask = free.shift()
    if (ask === undefined) waiting.push(now)
    else ask(now)
  }
  setTimeout(tick, 1)
}
const finish = (): void => {
  // what connections and compiled code were warmed with
  const sorted = took.slice(took.length >> 2).sort((a, b) => a - b)
  const at = (part: number) => sorted[Math.floor((sorted.length - 1) * part)]
  console.log(JSON.stringify({ p50: at(0.5), p99: at(0.99), answered: took.length, sent }))
  process.exit(0)
}
tick()

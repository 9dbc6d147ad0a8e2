/**
 * Clients that go on asking while what serves them is replaced: `node
 * replacements.ts <port> <clients>`, started with `fork`. Every other one keeps
 * its connection until it is told to go, the others connect for each request. A
 * request that fails is asked again until it is answered: the time that took is
 * its wait. Told to stop, it says what became of all.
 */
import * as Net from "node:net"

const [port, clients] = process.argv.slice(2).map(Number) as [number, number]
const patience = 5000
/** Between an answer, or a failure, and the next request (ms). */
const pause = 5
const seen = { answered: 0, refused: 0, reset: 0, lost: 0, longest: 0 }
let over = false

const client = (kept: boolean): void => {
  let socket: Net.Socket | undefined
  let wanted = performance.now()
  const request = `GET / HTTP/1.1\r\nHost: localhost\r\n${kept ? "" : "Connection: close\r\n"}\r\n`
  const next = (answered: boolean): void => {
    const now = performance.now()
    seen.longest = Math.max(seen.longest, now - wanted)
    if (over) return
    if (answered) wanted = now
    // new processes have to start beside them
    setTimeout(ask, pause)
  }
  const ask = (): void => {
    const used = socket ??= Net.connect({ port, host: "127.0.0.1", noDelay: true })
    socket = used
    let text = ""
    let done = false
    const settle = (what: "answered" | "refused" | "reset" | "lost", keep: boolean): void => {
      if (done) return
      done = true
      clearTimeout(timer)
      used.removeAllListeners("data").removeAllListeners("error").removeAllListeners("close").on("error", () => {})
      seen[what]++
      if (!keep) {
        socket = undefined
        used.destroy()
      } else {
        used.once("close", () => {
          if (socket === used) socket = undefined
        })
      }
      next(what === "answered")
    }
    const timer = setTimeout(() => settle("lost", false), patience)
    used.on("data", (chunk) => {
      text += chunk.toString("latin1")
      if (!/\r\n\r\n(?:2\r\n)?ok(?:\r\n0\r\n\r\n)?$/.test(text)) return
      settle("answered", kept && !/connection: close/i.test(text))
    })
    used.on(
      "error",
      (cause: NodeJS.ErrnoException) => settle(cause.code === "ECONNREFUSED" ? "refused" : "reset", false)
    )
    used.on("close", () => settle("lost", false))
    used.write(request)
  }
  ask()
}

for (let i = 0; i < clients; i++) client(i % 2 === 0)
process.send!("ready")
process.on("message", () => {
  over = true
  process.send!(seen)
})
process.on("disconnect", () => process.exit(0))

/**
 * Requests over connections that are kept: `node kept.ts <port> <connections>`,
 * started with `fork`. All are opened and answered once before the program says
 * that it is ready. Told for how many milliseconds, it asks on 64 of them at a
 * time, each in its turn, and says how many requests were answered.
 */
import * as Net from "node:net"

const [port, count] = process.argv.slice(2).map(Number) as [number, number]
const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
/** How many requests are under way at a time, and how many connections are opened at a time. */
const atOnce = 64
/** Those that nothing is asked on, in the order of their turns. */
const free: Array<Net.Socket> = []
let onAnswer: () => void = () => {}

const open = (n: number): Promise<void> =>
  new Promise((resolve, reject) => {
    // from several addresses, because each has some 28,000 ports
    const localAddress = `127.0.0.${1 + n % 8}`
    const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true, localAddress }, () => socket.write(request))
    socket.once("data", () => {
      free.push(socket)
      socket.on("data", () => {
        free.push(socket)
        onAnswer()
      })
      resolve()
    })
    socket.on("error", reject)
  })

let opened = 0
const worker = async (): Promise<void> => {
  while (opened < count) await open(opened++)
}
await Promise.all(Array.from({ length: atOnce }, worker))

const ask = (): void => void free.shift()!.write(request)

process.on("message", (millis) => {
  const end = performance.now() + Number(millis)
  let under = Math.min(atOnce, count)
  let answered = 0
  onAnswer = () => {
    answered++
    if (performance.now() < end) return ask()
    under--
    if (under === 0) process.send!({ answered })
  }
  for (let i = 0; i < under; i++) ask()
})
process.on("disconnect", () => process.exit(0))
process.send!("ready")

/**
 * Connections that are opened and kept: `node hold.ts <port> <connections>
 * <http | tcp>`, started with `fork`. Each of HTTP has had one request answered
 * when the program says that it is ready. It goes when it is told to.
 */
import * as Net from "node:net"

const [port, connections, what] = process.argv.slice(2)
const count = Number(connections)
const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
// how many are under way at a time: no queue of the kernel overflows
const atOnce = 200

const open = (n: number): Promise<void> =>
  new Promise((resolve, reject) => {
    // from several addresses, because each has some 28,000 ports
    const socket = Net.connect({ port: Number(port), host: "127.0.0.1", localAddress: `127.0.0.${1 + n % 8}` }, () => {
      if (what === "http") socket.write(request)
      else resolve()
    })
    socket.on("data", () => resolve())
    socket.on("end", () => socket.end())
    // a server that ends may reset; one that was never there is an error
    socket.on("error", reject)
  })

let next = 0
const worker = async (): Promise<void> => {
  while (next < count) await open(next++)
}
await Promise.all(Array.from({ length: atOnce }, worker))
process.send!("ready")
process.on("disconnect", () => process.exit(0))

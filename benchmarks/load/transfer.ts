/**
 * One long transfer: `node transfer.ts <port> <upload | download> <bytes>`
 * prints how many bytes went through in a second, until the other side had all
 * of them.
 */
import * as Net from "node:net"

const [port, direction, size] = process.argv.slice(2)
const bytes = Number(size)
const piece = Buffer.alloc(64 * 1024, "x")
let left = direction === "upload" ? bytes : 0
let received = 0
let last = ""

const start = performance.now()
const socket = Net.connect({ port: Number(port), host: "127.0.0.1" }, () => {
  if (direction === "upload") send()
  else socket.write(size!)
})

const send = (): void => {
  while (left > 0) {
    const part = Math.min(left, piece.length)
    left -= part
    if (!socket.write(piece.subarray(0, part))) return void socket.once("drain", send)
  }
  socket.end()
}

socket.on("data", (chunk) => {
  received += chunk.length
  if (direction === "upload") last += chunk.toString()
  else if (received === bytes) done()
})
socket.on("end", () => {
  if (direction === "upload" && last === size) done()
  else if (received !== bytes) throw new Error(`${received} of ${size} bytes`)
})

const done = (): void => {
  const perSecond = bytes / (performance.now() - start) * 1000
  console.log(JSON.stringify({ operations: bytes / 2 ** 20, perSecond: perSecond / 2 ** 20, failed: 0 }))
  process.exit(0)
}

/**
 * Clients that ask without a pause while servers come and go on one port:
 * `node restarts.ts <port> <clients>`, started with `fork`. A connection that is
 * refused is tried again and loses nothing; a request is lost when its
 * connection ends before the answer is whole, or when a connection that was
 * accepted is reset. Told to stop, it says what it saw.
 */
import * as Net from "node:net"

const [port, clients] = process.argv.slice(2).map(Number) as [number, number]
const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
let answered = 0
let lost = 0
let over = false

const connect = (): void => {
  let text = ""
  let waiting = true
  let refused = false
  const ask = () => {
    waiting = true
    text = ""
    socket.write(request)
  }
  const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true }, ask)
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1")
    // the answer in one piece of known length, or in chunks
    if (!text.endsWith("\r\n\r\nok") && !text.endsWith("2\r\nok\r\n0\r\n\r\n")) return
    answered++
    waiting = false
    if (/connection: close/i.test(text)) socket.end()
    else ask()
  })
  socket.on("error", (cause: NodeJS.ErrnoException) => {
    if (cause.code === "ECONNREFUSED") refused = true
  })
  socket.on("close", () => {
    if (over) return
    if (waiting && !refused) lost++
    setTimeout(connect, refused ? 5 : 0)
  })
}

for (let i = 0; i < clients; i++) connect()
process.send!("ready")
process.on("message", () => {
  over = true
  process.send!({ answered, lost })
})
process.on("disconnect", () => process.exit(0))

/**
 * HTTP/2 sessions with requests under way: `node sessions.ts <port> <sessions>
 * <streams on each>`, started with `fork`. Ready when all requests are sent.
 */
import * as Http2 from "node:http2"

const [port, sessions, streams] = process.argv.slice(2).map(Number) as [number, number, number]

const open = (): Promise<void> =>
  new Promise((resolve, reject) => {
    const session = Http2.connect(`http://127.0.0.1:${port}`)
    session.on("error", reject)
    session.once("remoteSettings", () => {
      for (let i = 0; i < streams; i++) {
        const stream = session.request({ ":path": "/" }, { endStream: true })
        stream.on("error", () => {})
        stream.resume()
      }
      // answered when all that was sent before has been read
      session.ping(() => resolve())
    })
  })

await Promise.all(Array.from({ length: sessions }, open))
process.send!("ready")
process.on("disconnect", () => process.exit(0))

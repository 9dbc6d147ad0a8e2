/**
 * HTTP/2 requests: `node streams.ts <port> <sessions> <streams at a time on
 * each> <ms>`.
 */
import * as Http2 from "node:http2"
import { report } from "../support/answers.ts"

const [port, sessions, streams, millis] = process.argv.slice(2).map(Number) as [number, number, number, number]
let answered = 0
let failed = 0

const ask = (session: Http2.ClientHttp2Session): void => {
  let bytes = 0
  const stream = session.request({ ":path": "/" }, { endStream: true })
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length
  })
  stream.on("error", () => failed++)
  stream.on("close", () => {
    if (bytes === 2) answered++
    ask(session)
  })
}

report(millis, () => ({ answered, failed }))
for (let i = 0; i < sessions; i++) {
  const session = Http2.connect(`http://127.0.0.1:${port}`)
  session.on("error", (cause) => {
    throw cause
  })
  for (let j = 0; j < streams; j++) ask(session)
}

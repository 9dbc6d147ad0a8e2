/**
 * Ways to hold a connection that cost a client next to nothing: what it sends at
 * once, what it goes on to send, and the limit that ends it.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http2 from "./http2.ts"
import * as Hostile from "./peer.ts"
import * as WebSocket from "./webSocket.ts"

export interface Shape {
  readonly name: string
  readonly limit: "handshake" | "firstByte" | "head" | "request" | "inactivity" | "send" | "linger" | "ping"
  /** Sent after the connect, or after the handshake of TLS. */
  readonly first: string | Uint8Array
  /** Sent when this has come of the answer. */
  readonly later?: readonly [after: string, bytes: string | Uint8Array] | undefined
  /** Sent again and again. */
  readonly drip?: string | Uint8Array | undefined
  readonly tls?: "http/1.1" | "h2" | "none" | undefined
}

const head = "POST /echo HTTP/1.1\r\nHost: x\r\n"
const get = "GET / HTTP/1.1\r\nHost: x\r\n"
const chunks = `${head}Transfer-Encoding: chunked\r\n\r\n`
const upload = `${head}Content-Length: 1000000\r\n\r\n`
const refused = "POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
const clientHello = Buffer.from("16030102000100", "hex")
const { begin, frame, get: get2, halfHead, post, preface } = Http2
/** A request of HTTP/2 whose answer may have no byte. */
const noWindow = Buffer.concat([begin, frame(4, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0])), get2(1)])

export const shapes: ReadonlyArray<Shape> = [
  { name: "nothing", limit: "firstByte", first: "" },
  { name: "half a request line", limit: "head", first: "GET /" },
  { name: "empty lines", limit: "head", first: "\r\n", drip: "\r\n" },
  { name: "half a head", limit: "head", first: get },
  { name: "a head that drips", limit: "head", first: get, drip: "a: b\r\n" },
  { name: "a name that drips", limit: "head", first: get, drip: "a" },
  { name: "a body that does not come", limit: "request", first: upload },
  { name: "a body that stalls", limit: "request", first: `${upload}hello` },
  { name: "a body that drips", limit: "request", first: upload, drip: "x" },
  { name: "chunks that do not come", limit: "request", first: chunks },
  { name: "chunks that drip", limit: "request", first: chunks, drip: "1\r\nx\r\n" },
  { name: "half a chunk", limit: "request", first: `${chunks}fff\r\nx` },
  { name: "half a size", limit: "request", first: `${chunks}1` },
  { name: "trailers that drip", limit: "request", first: `${chunks}0\r\n`, drip: "a: b\r\n" },
  {
    name: "a body that waits for a word",
    limit: "request",
    first: `${head}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n`
  },
  { name: "silence after an answer", limit: "inactivity", first: `${get}\r\n` },
  {
    name: "silence after an answer over HTTP/1.0",
    limit: "inactivity",
    first: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
  },
  { name: "half a head after an answer", limit: "head", first: `${get}\r\n`, later: ["ok", get] },
  {
    name: "a head that drips after an answer",
    limit: "head",
    first: `${get}\r\n`,
    later: ["ok", get],
    drip: "a: b\r\n"
  },
  { name: "a body that is refused and stalls", limit: "request", first: refused },
  { name: "a body that is refused and drips", limit: "request", first: refused, drip: "x" },
  { name: "silence after what is no HTTP", limit: "linger", first: "hello\r\n\r\n" },
  { name: "words after what is no HTTP", limit: "linger", first: "hello\r\n\r\n", drip: "hello" },
  { name: "silence after the last answer", limit: "linger", first: `${get}Connection: close\r\n\r\n` },
  { name: "words after the last answer", limit: "linger", first: `${get}Connection: close\r\n\r\n`, drip: "hello" },
  {
    name: "an upgrade whose body does not come",
    limit: "request",
    first: `${head}Connection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 5\r\n\r\n`
  },
  {
    name: "an upgrade that is taken, whose body does not come",
    limit: "request",
    first: `${head}Connection: Upgrade\r\nUpgrade: chat\r\nContent-Length: 5\r\n\r\n`
  },
  { name: "half the handshake of a WebSocket", limit: "head", first: WebSocket.handshake.slice(0, -4) },
  { name: "a silent WebSocket", limit: "ping", first: WebSocket.handshake },
  { name: "half a frame", limit: "ping", first: WebSocket.handshake, later: ["\r\n\r\n", Buffer.from([0x81])] },
  {
    name: "a frame that drips",
    limit: "ping",
    first: WebSocket.handshake,
    later: ["\r\n\r\n", Buffer.from([0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0])],
    drip: "x"
  },
  {
    name: "a message that does not end",
    limit: "ping",
    first: WebSocket.handshake,
    later: ["\r\n\r\n", WebSocket.frame(1, "a", { fin: false })],
    drip: WebSocket.frame(0, "a", { fin: false })
  },
  {
    name: "a WebSocket that says goodbye and stays",
    limit: "linger",
    first: WebSocket.handshake,
    later: ["\r\n\r\n", WebSocket.frame(8)]
  },
  {
    name: "a WebSocket that is refused and stays",
    limit: "linger",
    first: WebSocket.handshake.replace("/ws", "/nowhere")
  },
  { name: "half a preface", limit: "firstByte", first: "PR" },
  { name: "a preface", limit: "firstByte", first: preface },
  { name: "a session without a request", limit: "firstByte", first: begin },
  { name: "half the head of a frame", limit: "firstByte", first: Buffer.concat([begin, Buffer.from([0, 0])]) },
  { name: "half the head of a request", limit: "firstByte", first: Buffer.concat([begin, halfHead(1)]) },
  {
    name: "the head of a request that drips",
    limit: "firstByte",
    first: Buffer.concat([begin, frame(1, 1, 1, Buffer.alloc(9000)).subarray(0, 10)]),
    drip: "\0"
  },
  {
    name: "half a head after an answer over HTTP/2",
    limit: "head",
    first: Buffer.concat([begin, get2(1)]),
    later: ["ok", halfHead(3)]
  },
  { name: "a body that does not come over HTTP/2", limit: "request", first: Buffer.concat([begin, post(1)]) },
  {
    name: "a body that drips over HTTP/2",
    limit: "request",
    first: Buffer.concat([begin, post(1)]),
    drip: frame(0, 0, 1, Buffer.from("x"))
  },
  {
    name: "half a frame of a body",
    limit: "request",
    first: Buffer.concat([begin, post(1), frame(0, 0, 1, Buffer.alloc(100)).subarray(0, 50)])
  },
  { name: "silence after an answer over HTTP/2", limit: "inactivity", first: Buffer.concat([begin, get2(1)]) },
  {
    name: "windows after an answer over HTTP/2",
    limit: "inactivity",
    first: Buffer.concat([begin, get2(1)]),
    drip: frame(8, 0, 0, Buffer.from([0, 0, 0, 1]))
  },
  { name: "an answer without a window over HTTP/2", limit: "send", first: noWindow },
  {
    name: "a large answer whose window is used up",
    limit: "send",
    first: Buffer.concat([begin, get2(1, "/large")])
  },
  { name: "an answer without a window over TLS", limit: "send", first: noWindow, tls: "h2" },
  { name: "a handshake of TLS that does not begin", limit: "handshake", first: "", tls: "none" },
  { name: "half a handshake of TLS", limit: "handshake", first: clientHello, tls: "none" },
  { name: "a handshake of TLS that drips", limit: "handshake", first: clientHello, tls: "none", drip: "\0" },
  { name: "nothing over TLS", limit: "firstByte", first: "", tls: "http/1.1" },
  { name: "half a head over TLS", limit: "head", first: get, tls: "http/1.1" },
  { name: "a body that drips over TLS", limit: "request", first: upload, tls: "http/1.1", drip: "x" },
  { name: "silence after an answer over TLS", limit: "inactivity", first: `${get}\r\n`, tls: "http/1.1" },
  { name: "HTTP/2 over TLS that says nothing", limit: "firstByte", first: "", tls: "h2" },
  { name: "half a head of HTTP/2 over TLS", limit: "firstByte", first: Buffer.concat([begin, halfHead(1)]), tls: "h2" }
]

/** A PING keeps the session, and no answer. */
export const pings: Shape = {
  name: "an answer without a window, and PINGs",
  limit: "send",
  first: noWindow,
  drip: frame(6, 0, 0, Buffer.alloc(8))
}

/** Holds a connection in this way until the scope ends. */
export const hold = (
  shape: Shape,
  ports: { readonly clear: number; readonly tls: number }
): Effect.Effect<Hostile.Hostile, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { drip, first, later, tls } = shape
    const secure = tls !== undefined && tls !== "none"
    const peer = yield* Hostile.connect(tls === undefined ? ports.clear : ports.tls, first, {
      tls: secure,
      alpn: secure ? tls : undefined
    })
    if (later !== undefined) {
      yield* peer.until((text) => text.includes(later[0]))
      peer.socket.write(bytesOf(later[1]))
    }
    if (drip !== undefined) {
      const timer = setInterval(() => peer.socket.write(bytesOf(drip)), 50)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(timer)))
    }
    return peer
  })

const bytesOf = (bytes: string | Uint8Array): Uint8Array =>
  typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes

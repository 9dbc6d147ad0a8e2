/**
 * Frames that a client of HTTP/2 may not send (RFC 9113), and floods of frames
 * that it may.
 */
export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

export const frame = (type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

const [DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] = [
  0,
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  8,
  9
] as const
const [END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY] = [1, 4, 8, 32] as const
const ACK = 1

const literal = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)])
const fields = (...all: ReadonlyArray<readonly [string, string]>): Buffer =>
  Buffer.concat(all.map(([name, value]) => literal(name, value)))
const request = (method = "GET", path = "/"): ReadonlyArray<readonly [string, string]> => [
  [":method", method],
  [":path", path],
  [":scheme", "http"],
  [":authority", "x"]
]
const number = (value: number, bytes = 4): Buffer => {
  const buffer = Buffer.alloc(bytes)
  buffer.writeUIntBE(value, 0, bytes)
  return buffer
}
const setting = (id: number, value: number): Buffer => Buffer.concat([number(id, 2), number(value)])

export const begin = Buffer.concat([preface, frame(SETTINGS, 0, 0)])
const after = (...frames: ReadonlyArray<Buffer>): Buffer => Buffer.concat([begin, ...frames])
export const get = (stream: number, path = "/"): Buffer =>
  frame(HEADERS, END_STREAM | END_HEADERS, stream, fields(...request("GET", path)))
export const post = (stream: number): Buffer => frame(HEADERS, END_HEADERS, stream, fields(...request("POST", "/echo")))
export const halfHead = (stream: number): Buffer => frame(HEADERS, END_STREAM, stream, fields(...request()))
const asking = (...more: ReadonlyArray<readonly [string, string]>): Buffer =>
  after(frame(HEADERS, END_STREAM | END_HEADERS, 1, fields(...request(), ...more)))
const onlyAsking = (...all: ReadonlyArray<readonly [string, string]>): Buffer =>
  after(frame(HEADERS, END_STREAM | END_HEADERS, 1, fields(...all)))

/** `session`: GOAWAY with an error, or the end. `stream`: RST_STREAM, or an answer that refuses. */
export type Row = readonly [name: string, bytes: Buffer, ends: "session" | "stream"]

export const malformed: ReadonlyArray<Row> = [
  ["a preface with an error", Buffer.from("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), "session"],
  ["no SETTINGS first", Buffer.concat([preface, get(1)]), "session"],
  ["SETTINGS of 5 bytes", after(frame(SETTINGS, 0, 0, Buffer.alloc(5))), "session"],
  ["SETTINGS on a stream", after(frame(SETTINGS, 0, 1)), "session"],
  ["an ACK of SETTINGS with a payload", after(frame(SETTINGS, ACK, 0, setting(3, 1))), "session"],
  ["a window of 2^31", after(frame(SETTINGS, 0, 0, setting(4, 2 ** 31))), "session"],
  ["frames of 100 bytes at most", after(frame(SETTINGS, 0, 0, setting(5, 100))), "session"],
  ["frames of 2^24 bytes at most", after(frame(SETTINGS, 0, 0, setting(5, 2 ** 24))), "session"],
  ["a push that is neither on nor off", after(frame(SETTINGS, 0, 0, setting(2, 2))), "session"],
  ["PING of 7 bytes", after(frame(PING, 0, 0, Buffer.alloc(7))), "session"],
  ["PING on a stream", after(frame(PING, 0, 1, Buffer.alloc(8))), "session"],
  ["WINDOW_UPDATE of nothing", after(frame(WINDOW_UPDATE, 0, 0, number(0))), "session"],
  ["WINDOW_UPDATE of 3 bytes", after(frame(WINDOW_UPDATE, 0, 0, Buffer.alloc(3))), "session"],
  ["a window beyond 2^31", after(...Array(2).fill(frame(WINDOW_UPDATE, 0, 0, number(2 ** 31 - 1)))), "session"],
  ["WINDOW_UPDATE of a stream that is not there", after(frame(WINDOW_UPDATE, 0, 1, number(1))), "session"],
  ["RST_STREAM of a stream that is not there", after(frame(RST_STREAM, 0, 1, number(8))), "session"],
  ["RST_STREAM of 3 bytes", after(post(1), frame(RST_STREAM, 0, 1, Buffer.alloc(3))), "session"],
  ["RST_STREAM of no stream", after(frame(RST_STREAM, 0, 0, number(8))), "session"],
  ["DATA on no stream", after(frame(DATA, 0, 0, Buffer.alloc(1))), "session"],
  ["DATA on a stream that is not there", after(frame(DATA, 0, 1, Buffer.alloc(1))), "session"],
  ["DATA with more padding than bytes", after(post(1), frame(DATA, PADDED, 1, Buffer.from([9, 0]))), "session"],
  ["HEADERS on no stream", after(frame(HEADERS, END_STREAM | END_HEADERS, 0, fields(...request()))), "session"],
  ["HEADERS on an even stream", after(get(2)), "session"],
  [
    "HEADERS with more padding than bytes",
    after(frame(HEADERS, PADDED | END_HEADERS, 1, Buffer.from([9, 0]))),
    "session"
  ],
  ["PRIORITY of 4 bytes", after(frame(PRIORITY, 0, 1, Buffer.alloc(4)), get(1)), "session"],
  [
    "PRIORITY in HEADERS that are too short",
    after(frame(HEADERS, WITH_PRIORITY | END_HEADERS, 1, Buffer.alloc(3))),
    "session"
  ],
  ["CONTINUATION of nothing", after(frame(CONTINUATION, END_HEADERS, 1, fields(...request()))), "session"],
  ["another frame in the middle of a head", after(halfHead(1), frame(PING, 0, 0, Buffer.alloc(8))), "session"],
  ["CONTINUATION of another stream", after(halfHead(1), frame(CONTINUATION, END_HEADERS, 3, fields())), "session"],
  [
    "PUSH_PROMISE",
    after(frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([number(2), fields(...request())]))),
    "session"
  ],
  ["GOAWAY on a stream", after(frame(GOAWAY, 0, 1, Buffer.alloc(8))), "session"],
  ["a frame of 20 KB", after(post(1), frame(DATA, 0, 1, Buffer.alloc(20_000))), "session"],
  [
    "an index of no header",
    after(frame(HEADERS, END_STREAM | END_HEADERS, 1, Buffer.from([0xff, 0xff, 0x7f]))),
    "session"
  ],
  ["a header that is cut", after(frame(HEADERS, END_STREAM | END_HEADERS, 1, Buffer.from([0, 40, 97]))), "session"],
  [
    "a table beyond the limit",
    after(frame(HEADERS, END_STREAM | END_HEADERS, 1, Buffer.from([0x3f, 0xff, 0xff, 0x7f]))),
    "session"
  ],
  ["a name in capitals", asking(["Foo", "x"]), "stream"],
  ["a header of the connection", asking(["connection", "close"]), "stream"],
  ["TE of anything but trailers", asking(["te", "gzip"]), "stream"],
  [
    "a pseudo-header after others",
    onlyAsking([":method", "GET"], ["a", "b"], [":path", "/"], [":scheme", "http"]),
    "stream"
  ],
  ["a pseudo-header that is not there", asking([":foo", "x"]), "stream"],
  ["two methods", asking([":method", "GET"]), "stream"],
  ["no method", onlyAsking([":path", "/"], [":scheme", "http"]), "stream"],
  ["no path", onlyAsking([":method", "GET"], [":scheme", "http"]), "stream"],
  ["an empty path", onlyAsking([":method", "GET"], [":path", ""], [":scheme", "http"]), "stream"],
  ["a status", asking([":status", "200"]), "stream"],
  ["a body shorter than its length", asking(["content-length", "5"]), "stream"]
]

/** A session that never ends: these frames, as long as the server takes them. */
export type Flood = readonly [name: string, frames: (index: number) => Buffer]

export const floods: ReadonlyArray<Flood> = [
  ["rapid reset", (i) => Buffer.concat([get(2 * i + 1, "/wait"), frame(RST_STREAM, 0, 2 * i + 1, number(8))])],
  ["CONTINUATION", (i) => i === 0 ? halfHead(1) : frame(CONTINUATION, 0, 1, literal("a", "b"))],
  ["empty CONTINUATION", (i) => i === 0 ? halfHead(1) : frame(CONTINUATION, 0, 1)],
  ["SETTINGS", () => frame(SETTINGS, 0, 0, setting(3, 100))],
  ["empty SETTINGS", () => frame(SETTINGS, 0, 0)],
  ["PING", () => frame(PING, 0, 0, Buffer.alloc(8))],
  ["empty DATA", (i) => i === 0 ? post(1) : frame(DATA, 0, 1)],
  ["requests that are none", (i) => frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, fields([":path", "/"]))],
  ["streams beyond the limit", (i) => get(2 * i + 1, "/wait")]
]

/** The frames in what came: their types, streams, and first four bytes. */
export const framesOf = (
  bytes: Buffer
): ReadonlyArray<{ type: number; flags: number; stream: number; payload: Buffer }> => {
  const all = []
  for (let at = 0; at + 9 <= bytes.length;) {
    const length = bytes.readUIntBE(at, 3)
    all.push({
      type: bytes[at + 3]!,
      flags: bytes[at + 4]!,
      stream: bytes.readUInt32BE(at + 5) & 0x7fffffff,
      payload: bytes.subarray(at + 9, at + 9 + length)
    })
    at += 9 + length
  }
  return all
}

/** Frames that a client of WebSockets may not send (RFC 6455), each after a handshake. */
export const handshake =
  "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

export interface FrameOptions {
  readonly fin?: boolean | undefined
  /** RSV1 is 4, RSV2 is 2, RSV3 is 1. */
  readonly reserved?: number | undefined
  readonly masked?: boolean | undefined
  /** What the frame says that its length is. */
  readonly length?: bigint | undefined
}

/** Masked with zeros, so that the payload is as it is. */
export const frame = (opcode: number, payload: Uint8Array | string = "", options: FrameOptions = {}): Buffer => {
  const { fin = true, masked = true, reserved = 0 } = options
  const body = Buffer.from(payload)
  const length = options.length ?? BigInt(body.length)
  const mask = masked ? 0x80 : 0
  const size = length < 126n ? 2 : length < 65_536n ? 4 : 10
  const head = Buffer.alloc(size)
  head[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode
  head[1] = mask | (size === 2 ? Number(length) : size === 4 ? 126 : 127)
  if (size === 4) head.writeUInt16BE(Number(length), 2)
  if (size === 10) head.writeBigUInt64BE(length, 2)
  return Buffer.concat([head, Buffer.alloc(masked ? 4 : 0), body])
}

const close = (code: number, reason = ""): Buffer => {
  const payload = Buffer.alloc(2)
  payload.writeUInt16BE(code)
  return frame(8, Buffer.concat([payload, Buffer.from(reason)]))
}

/** The code that the server closes with. */
export type Row = readonly [name: string, bytes: Buffer, code: number]

const opcodes = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]
const codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]

export const frames: ReadonlyArray<Row> = [
  ["without a mask", frame(1, "hello", { masked: false }), 1002],
  ...opcodes.map((opcode): Row => [`of type ${opcode}`, frame(opcode), 1002]),
  ...[4, 2, 1].map((reserved): Row => [`with RSV ${reserved}`, frame(1, "hello", { reserved }), 1002]),
  ["PING in parts", frame(9, "", { fin: false }), 1002],
  ["PONG in parts", frame(10, "", { fin: false }), 1002],
  ["CLOSE in parts", frame(8, "", { fin: false }), 1002],
  ["PING of 126 bytes", frame(9, Buffer.alloc(126)), 1002],
  ["PONG of 126 bytes", frame(10, Buffer.alloc(126)), 1002],
  ["CLOSE of 126 bytes", frame(8, Buffer.alloc(126)), 1002],
  ["CLOSE of one byte", frame(8, Buffer.alloc(1)), 1002],
  ...codes.map((code): Row => [`CLOSE with code ${code}`, close(code), 1002]),
  ["CLOSE with a reason that is no UTF-8", frame(8, Buffer.from([3, 232, 0xff])), 1007],
  ["a text that is no UTF-8", frame(1, Buffer.from([0xc3, 0x28])), 1007],
  ["a text that ends in the middle of a letter", frame(1, Buffer.from([0xe2, 0x82])), 1007],
  ["a text with half a surrogate", frame(1, Buffer.from([0xed, 0xa0, 0x80])), 1007],
  ["the next part of nothing", frame(0, "hello"), 1002],
  ["the last part of nothing", frame(0, ""), 1002],
  ["a text in the middle of another", Buffer.concat([frame(1, "a", { fin: false }), frame(1, "b")]), 1002],
  ["RSV1 in a later part", Buffer.concat([frame(1, "a", { fin: false }), frame(0, "b", { reserved: 4 })]), 1002],
  ["of 2^53 bytes", frame(2, "", { length: 2n ** 53n }), 1009],
  ["of 2^63 bytes", frame(2, "", { length: 2n ** 63n }), 1009],
  ["beyond the limit", frame(2, "", { length: 2n ** 20n + 1n }), 1009],
  [
    "beyond the limit in parts",
    Buffer.concat(Array.from({ length: 17 }, (_, i) => frame(i === 0 ? 2 : 0, Buffer.alloc(65_536), { fin: false }))),
    1009
  ]
]

/** The code of the first CLOSE after the head of the answer. */
export const closeCode = (bytes: Buffer): number | undefined => {
  for (let at = bytes.indexOf("\r\n\r\n") + 4; at + 2 <= bytes.length;) {
    const size = bytes[at + 1]! & 0x7f
    if ((bytes[at]! & 15) === 8 && size >= 2) return bytes.readUInt16BE(at + 2)
    at += 2 +
      (size < 126 ? size : size === 126 ? 2 + bytes.readUInt16BE(at + 2) : 8 + Number(bytes.readBigUInt64BE(at + 2)))
  }
  return undefined
}

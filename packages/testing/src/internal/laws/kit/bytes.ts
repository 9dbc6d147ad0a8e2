/**
 * Bytes of which each piece says where it belongs.
 */

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const encode = (text: string): Uint8Array => encoder.encode(text)
export const decode = (bytes: Uint8Array): string => decoder.decode(bytes)

export const concat = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}

/** What a reader gives, as bytes. */
export const bytesOf = (chunks: ReadonlyArray<Uint8Array | string>): Uint8Array =>
  concat(chunks.map((chunk) => typeof chunk === "string" ? encode(chunk) : chunk))

export const kibi = 1024
export const mebi = 1024 * kibi

/** Bytes of which each piece says where it belongs. */
export const pattern = (size: number, from = 0): Uint8Array => {
  const bytes = new Uint8Array(size)
  for (let i = 0; i < size; i++) bytes[i] = ((from + i) * 31 + ((from + i) >> 8)) & 0xff
  return bytes
}

/** How many of these bytes are those of the pattern, from the first on. */
export const matching = (bytes: Uint8Array): number => {
  const expected = pattern(bytes.length)
  const wrong = bytes.findIndex((byte, index) => byte !== expected[index])
  return wrong === -1 ? bytes.length : wrong
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const encode = (text: string): Uint8Array => encoder.encode(text)
export const decode = (bytes: Uint8Array): string => decoder.decode(bytes)

/** A chunk of a socket as bytes. */
export const toBytes = (chunk: Uint8Array | string): Uint8Array => typeof chunk === "string" ? encode(chunk) : chunk

/** What a reader gives, as bytes. */
export const bytesOf = (chunks: ReadonlyArray<Uint8Array | string>): Uint8Array =>
  chunks.length === 1 ? toBytes(chunks[0]!) : concat(chunks.map(toBytes))

export const concat = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}

/**
 * Bytes of which each piece says where it belongs.
 */

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

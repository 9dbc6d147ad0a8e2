/**
 * What a header of version 2 carries beside addresses: type, length, value
 * (section 2.2.1 and following).
 */

export interface Tlv {
  readonly type: number
  readonly value: Uint8Array
}

/** What a proxy that ended TLS says of it. */
export interface Ssl {
  /** The client connected over TLS. */
  readonly secure: boolean
  /** It showed a certificate, in this connection or in the session that is resumed. */
  readonly certificate: boolean
  /** The certificate was verified. */
  readonly verified: boolean
  /** Such as `TLSv1.3`. */
  readonly version?: string | undefined
  readonly cipher?: string | undefined
  /** The common name of the client's certificate. */
  readonly commonName?: string | undefined
}

export interface Tlvs {
  readonly tlvs: ReadonlyArray<Tlv>
  readonly alpn?: string | undefined
  readonly authority?: string | undefined
  readonly uniqueId?: Uint8Array | undefined
  readonly ssl?: Ssl | undefined
}

const types = { alpn: 0x01, authority: 0x02, crc32c: 0x03, uniqueId: 0x05, ssl: 0x20 } as const
const sslTypes = { version: 0x21, commonName: 0x22, cipher: 0x23 } as const

/** The TLVs from `at` to the end; why they cannot be accepted, otherwise. */
export const readTlvs = (bytes: Buffer, at: number): Tlvs | string => {
  const tlvs = split(bytes, at)
  if (tlvs === undefined) return "a TLV that is cut short"
  const find = (type: number) => tlvs.find((tlv) => tlv.type === type)
  const checksum = find(types.crc32c)
  if (checksum !== undefined && !checksumHolds(bytes, checksum)) return "a wrong checksum"
  const ssl = find(types.ssl)?.value
  const parsed = ssl === undefined ? undefined : readSsl(ssl)
  if (parsed === null) return "a TLV of TLS that is cut short"
  return {
    tlvs: tlvs.map(({ type, value }) => ({ type, value: Uint8Array.from(value) })),
    alpn: find(types.alpn)?.value.toString("latin1"),
    authority: find(types.authority)?.value.toString("utf8"),
    uniqueId: copy(find(types.uniqueId)?.value),
    ssl: parsed
  }
}

interface Slice {
  readonly type: number
  readonly value: Buffer
}

const split = (bytes: Buffer, from: number): ReadonlyArray<Slice> | undefined => {
  const found: Array<Slice> = []
  let at = from
  while (at < bytes.length) {
    if (bytes.length < at + 3) return undefined
    const end = at + 3 + bytes.readUInt16BE(at + 1)
    if (bytes.length < end) return undefined
    found.push({ type: bytes[at]!, value: bytes.subarray(at + 3, end) })
    at = end
  }
  return found
}

/** One byte of flags and the result of the verification, then TLVs; `null` when it is cut short. */
const readSsl = (value: Buffer): Ssl | null => {
  if (value.length < 5) return null
  const inner = split(value, 5)
  if (inner === undefined) return null
  const text = (type: number) => inner.find((tlv) => tlv.type === type)?.value.toString("utf8")
  const flags = value[0]!
  const certificate = (flags & 0x06) !== 0
  return {
    secure: (flags & 0x01) !== 0,
    certificate,
    verified: certificate && value.readUInt32BE(1) === 0,
    version: text(sslTypes.version),
    cipher: text(sslTypes.cipher),
    commonName: text(sslTypes.commonName)
  }
}

const copy = (value: Buffer | undefined): Uint8Array | undefined =>
  value === undefined ? undefined : Uint8Array.from(value)

/** The checksum is over the whole header, with its own four bytes as zeros (section 2.2.4). */
const checksumHolds = (header: Buffer, { value }: Slice): boolean => {
  if (value.length !== 4) return false
  const zeroed = Buffer.from(header)
  zeroed.fill(0, value.byteOffset - header.byteOffset, value.byteOffset - header.byteOffset + 4)
  return crc32c(zeroed) === value.readUInt32BE(0)
}

/** Castagnoli's polynomial, reflected; `zlib.crc32` has another. Headers are short: bit by bit is fast enough. */
const crc32c = (bytes: Uint8Array): number => {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}

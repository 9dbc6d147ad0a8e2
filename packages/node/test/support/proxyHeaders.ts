/**
 * Headers of the PROXY protocol, written as the specification has them.
 */

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1")

/** A header of version 2: command, family and transport, addresses, TLVs. */
export const headerV2 = (
  command: number,
  family: number,
  addresses: Buffer,
  ...tlvs: ReadonlyArray<Buffer>
): Buffer => {
  const rest = Buffer.concat([addresses, ...tlvs])
  const length = Buffer.alloc(2)
  length.writeUInt16BE(rest.length)
  return Buffer.concat([signature, Buffer.from([0x20 | command, family]), length, rest])
}

export const tlv = (type: number, value: Buffer): Buffer => {
  const head = Buffer.from([type, 0, 0])
  head.writeUInt16BE(value.length, 1)
  return Buffer.concat([head, value])
}

/** Fills in the checksum of a header whose last TLV is one of four zeros. By a table, where the library goes bit by bit. */
export const withChecksum = (header: Buffer): Buffer => {
  const table = Array.from({ length: 256 }, (_, index) => {
    let crc = index
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    return crc >>> 0
  })
  const crc = header.reduce((crc, byte) => (crc >>> 8) ^ table[(crc ^ byte) & 0xff]!, 0xffffffff)
  const filled = Buffer.from(header)
  filled.writeUInt32BE((crc ^ 0xffffffff) >>> 0, header.length - 4)
  return filled
}

/** A header of version 1 for a client. */
export const headerV1 = (address: string, port: number): string => `PROXY TCP4 ${address} 198.51.100.1 ${port} 443\r\n`

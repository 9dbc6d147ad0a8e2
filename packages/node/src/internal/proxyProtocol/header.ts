/**
 * The header of the PROXY protocol, versions 1 and 2
 * (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt): bytes to a
 * decision, pure and total.
 */
import * as Net from "node:net"
import { readTlvs, type Tlvs } from "./tlvs.ts"

/** One side of the proxied connection. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** What a header says. */
export interface ParsedHeader extends Tlvs {
  readonly version: 1 | 2
  /** The client and the address it connected to. Absent where the proxy speaks for itself, or for a family that is not IP over a stream. */
  readonly proxied: { readonly source: Endpoint; readonly destination: Endpoint } | undefined
}

/**
 * What to do about the bytes so far.
 *
 * - `More`: they are the beginning of a header.
 * - `Header`: they begin with a header of `length` bytes.
 * - `Refused`: they are no header that can be accepted; `detail` says why.
 */
export type Parsed =
  | { readonly _tag: "More" }
  | { readonly _tag: "Header"; readonly length: number; readonly header: ParsedHeader }
  | { readonly _tag: "Refused"; readonly detail: string }

export interface ParseOptions {
  readonly versions: ReadonlyArray<1 | 2>
  /** Bytes of the longest header of version 2. */
  readonly longest: number
}

/** The longest header of version 1, with its CRLF (section 2.1). */
const longestV1 = 107

/** The header of version 2 without addresses (section 2.2). */
const fixedV2 = 16

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1")

const beginningV1 = Buffer.from("PROXY ", "latin1")

const more: Parsed = { _tag: "More" }

export const parse = (bytes: Buffer, options: ParseOptions): Parsed => {
  if (bytes.length === 0) return more
  if (beginsAs(bytes, signature)) {
    return options.versions.includes(2) ? parseV2(bytes, options.longest) : refused("a header of version 2")
  }
  if (beginsAs(bytes, beginningV1)) {
    return options.versions.includes(1) ? parseV1(bytes) : refused("a header of version 1")
  }
  return refused("no PROXY header")
}

const refused = (detail: string): Parsed => ({ _tag: "Refused", detail })

/** Whether the bytes begin as `expected` does, as far as they go. */
const beginsAs = (bytes: Buffer, expected: Buffer): boolean => {
  const length = Math.min(bytes.length, expected.length)
  return bytes.compare(expected, 0, length, 0, length) === 0
}

// --- version 1: a line of text -----------------------------------------------------------------------------------------

const lineV1 =
  /^PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP4|TCP6) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4}))\r\n$/

const parseV1 = (bytes: Buffer): Parsed => {
  const end = bytes.subarray(0, longestV1).indexOf("\r\n")
  if (end < 0) return bytes.length < longestV1 ? more : refused(`no end of line in ${longestV1} bytes`)
  const length = end + 2
  const match = lineV1.exec(bytes.toString("latin1", 0, length))
  if (match === null) return refused("a malformed line")
  const [, family, source, destination, sourcePort, destinationPort] = match
  if (family === undefined) return header(length, { version: 1, proxied: undefined, tlvs: [] })
  const from = endpointV1(family, source!, sourcePort!)
  const to = endpointV1(family, destination!, destinationPort!)
  return from === undefined || to === undefined
    ? refused("an invalid address")
    : header(length, { version: 1, proxied: { source: from, destination: to }, tlvs: [] })
}

/** `isIP` knows no leading zeros, which would be octal to some. */
const endpointV1 = (family: string, address: string, port: string): Endpoint | undefined =>
  Net.isIP(address) === (family === "TCP4" ? 4 : 6) && Number(port) <= 65_535
    ? { address, port: Number(port) }
    : undefined

// --- version 2: binary -------------------------------------------------------------------------------------------------

const parseV2 = (bytes: Buffer, longest: number): Parsed => {
  if (bytes.length < fixedV2) return more
  const command = bytes[12]! & 0x0f
  if (bytes[12]! >> 4 !== 2) return refused("a version that is not 2")
  if (command > 1) return refused(`an unknown command ${command}`)
  const length = fixedV2 + bytes.readUInt16BE(14)
  if (length > longest) return refused(`a header of ${length} bytes`)
  if (bytes.length < length) return more
  // LOCAL: the proxy speaks for itself, and whatever follows is skipped
  if (command === 0) return header(length, { version: 2, proxied: undefined, tlvs: [] })
  return parseProxied(bytes.subarray(0, length), bytes[13]!)
}

const streamOverIpv4 = 0x11
const streamOverIpv6 = 0x21

const parseProxied = (bytes: Buffer, family: number): Parsed => {
  const tlvsAt = fixedV2 + addressBytes(family)
  if (bytes.length < tlvsAt) return refused("addresses that are cut short")
  // what an unspecified or unknown family carries cannot be told from TLVs
  const tlvs = tlvsAt === fixedV2 ? { tlvs: [] } : readTlvs(bytes, tlvsAt)
  if (typeof tlvs === "string") return refused(tlvs)
  const size = family === streamOverIpv4 ? 4 : family === streamOverIpv6 ? 16 : 0
  const proxied = size === 0 ? undefined : {
    source: { address: ip(bytes, fixedV2, size), port: bytes.readUInt16BE(fixedV2 + 2 * size) },
    destination: { address: ip(bytes, fixedV2 + size, size), port: bytes.readUInt16BE(fixedV2 + 2 * size + 2) }
  }
  return header(bytes.length, { version: 2, proxied, ...tlvs })
}

/** Bytes of the addresses by family, which an unknown one shares with none (section 2.2). */
const addressBytes = (family: number): number =>
  family >> 4 === 1 ? 12 : family >> 4 === 2 ? 36 : family >> 4 === 3 ? 216 : 0

const ip = (bytes: Buffer, at: number, size: number): string =>
  size === 4
    ? bytes.subarray(at, at + 4).join(".")
    : Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(at + 2 * index).toString(16)).join(":")

const header = (length: number, parsed: ParsedHeader): Parsed => ({ _tag: "Header", length, header: parsed })

import { assert, describe, it } from "@effect/vitest"
import { parse, type Parsed } from "../src/internal/proxyProtocol/header.ts"
import { headerV2, tlv, withChecksum } from "./support/proxyHeaders.ts"

const options = { versions: [1, 2], longest: 536 } as const

const show = (parsed: Parsed): string =>
  parsed._tag === "Header"
    ? parsed.header.proxied === undefined
      ? "no client"
      : `${parsed.header.proxied.source.address} ${parsed.header.proxied.source.port}`
    : parsed._tag === "Refused"
    ? parsed.detail
    : "more"

const ipv4 = Buffer.from([192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0x01, 0xbb])
const ipv6 = Buffer.concat([
  Buffer.from("20010db8000000000000000000000001", "hex"),
  Buffer.from("20010db8000000000000000000000002", "hex"),
  Buffer.from([0, 1, 0, 2])
])

/** One for each rule of the specification. */
const cases: Record<string, readonly [bytes: Buffer, expected: string]> = {
  "v1 TCP4": [Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 12345 443\r\nrest"), "192.0.2.7 12345"],
  "v1 TCP6": [Buffer.from("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"), "2001:db8::1 1"],
  "v1 UNKNOWN": [Buffer.from("PROXY UNKNOWN\r\n"), "no client"],
  "v1 UNKNOWN with addresses": [Buffer.from("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), "no client"],
  "v1 leading zero in a port": [Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 012 443\r\n"), "a malformed line"],
  "v1 octal address": [Buffer.from("PROXY TCP4 192.0.02.7 198.51.100.1 1 443\r\n"), "an invalid address"],
  "v1 port above 65535": [Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n"), "an invalid address"],
  "v1 LF alone": [
    Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 1 443\n" + "x".repeat(90)),
    "no end of line in 107 bytes"
  ],
  "v1 family and address differ": [
    Buffer.from("PROXY TCP6 192.0.2.7 198.51.100.1 1 443\r\n"),
    "an invalid address"
  ],
  "v1 two spaces": [Buffer.from("PROXY TCP4  192.0.2.7 198.51.100.1 1 443\r\n"), "a malformed line"],
  "v1 lower case": [Buffer.from("proxy TCP4 192.0.2.7 198.51.100.1 1 443\r\n"), "no PROXY header"],
  "v1 another protocol": [Buffer.from("PROXY UDP4 192.0.2.7 198.51.100.1 1 443\r\n"), "a malformed line"],
  "v2 TCP over IPv4": [headerV2(1, 0x11, ipv4), "192.0.2.7 12345"],
  "v2 TCP over IPv6": [headerV2(1, 0x21, ipv6), "2001:db8:0:0:0:0:0:1 1"],
  "v2 with TLVs": [headerV2(1, 0x11, ipv4, tlv(4, Buffer.from([1, 2, 3]))), "192.0.2.7 12345"],
  "v2 LOCAL": [headerV2(0, 0, Buffer.alloc(0)), "no client"],
  "v2 LOCAL with addresses": [headerV2(0, 0x11, ipv4), "no client"],
  "v2 LOCAL with garbage": [headerV2(0, 0xff, Buffer.from([1, 2, 3])), "no client"],
  "v2 Unix": [headerV2(1, 0x31, Buffer.alloc(216)), "no client"],
  "v2 datagrams": [headerV2(1, 0x12, ipv4), "no client"],
  "v2 unspecified": [headerV2(1, 0, Buffer.alloc(0)), "no client"],
  "v2 short addresses": [headerV2(1, 0x11, ipv4.subarray(0, 8)), "addresses that are cut short"],
  "v2 command 2": [headerV2(2, 0x11, ipv4), "an unknown command 2"],
  "v2 too long": [headerV2(1, 0x11, ipv4, Buffer.alloc(1000)), "a header of 1028 bytes"],
  "v2 a TLV that ends late": [headerV2(1, 0x11, ipv4, Buffer.from([4, 0, 9, 1])), "a TLV that is cut short"],
  "v2 half a TLV": [headerV2(1, 0x11, ipv4, Buffer.from([4, 0])), "a TLV that is cut short"],
  "v2 a right checksum": [withChecksum(headerV2(1, 0x11, ipv4, tlv(3, Buffer.alloc(4)))), "192.0.2.7 12345"],
  "v2 a wrong checksum": [headerV2(1, 0x11, ipv4, tlv(3, Buffer.from([1, 2, 3, 4]))), "a wrong checksum"],
  "v2 half a TLV of TLS": [headerV2(1, 0x11, ipv4, tlv(0x20, Buffer.from([1]))), "a TLV of TLS that is cut short"],
  "HTTP without a header": [Buffer.from("GET / HTTP/1.1\r\n\r\n"), "no PROXY header"],
  "a ClientHello without a header": [Buffer.from([22, 3, 1, 2, 0]), "no PROXY header"]
}

/** The first answer that is not `More`, as bytes come one by one. */
const byteByByte = (bytes: Buffer): Parsed => {
  for (let length = 0; length <= bytes.length; length++) {
    const parsed = parse(bytes.subarray(0, length), options)
    if (parsed._tag !== "More") return parsed
  }
  return { _tag: "More" }
}

describe("parse", () => {
  for (const [name, [bytes, expected]] of Object.entries(cases)) {
    it(`${name}: whole`, () => assert.strictEqual(show(parse(bytes, options)), expected))
    it(`${name}: byte by byte`, () => assert.strictEqual(show(byteByByte(bytes)), expected))
  }

  it("takes exactly the header, and leaves what follows", () => {
    const line = "PROXY TCP4 192.0.2.7 198.51.100.1 12345 443\r\n"
    const parsed = parse(Buffer.from(`${line}GET / HTTP/1.1\r\n`), options)
    assert.strictEqual(parsed._tag === "Header" && parsed.length, line.length)
  })

  it("knows the versions it is told to", () => {
    const v1 = Buffer.from("PROXY UNKNOWN\r\n")
    assert.strictEqual(show(parse(v1, { ...options, versions: [2] })), "a header of version 1")
    assert.strictEqual(
      show(parse(headerV2(0, 0, Buffer.alloc(0)), { ...options, versions: [1] })),
      "a header of version 2"
    )
  })

  it("reads what a proxy that ended TLS says", () => {
    const ssl = Buffer.concat([
      Buffer.from([0x07, 0, 0, 0, 0]),
      tlv(0x21, Buffer.from("TLSv1.3")),
      tlv(0x22, Buffer.from("client")),
      tlv(0x23, Buffer.from("TLS_AES_128_GCM_SHA256"))
    ])
    const extra = [tlv(1, Buffer.from("h2")), tlv(2, Buffer.from("one.test")), tlv(5, Buffer.from([9])), tlv(0x20, ssl)]
    const parsed = parse(headerV2(1, 0x11, ipv4, ...extra), options)
    assert.strictEqual(parsed._tag, "Header")
    if (parsed._tag !== "Header") return
    const { alpn, authority, ssl: read, tlvs, uniqueId } = parsed.header
    assert.deepStrictEqual({ alpn, authority, uniqueId }, {
      alpn: "h2",
      authority: "one.test",
      uniqueId: Uint8Array.from([9])
    })
    assert.deepStrictEqual(tlvs.map(({ type }) => type), [1, 2, 5, 0x20])
    assert.deepStrictEqual(read, {
      secure: true,
      certificate: true,
      verified: true,
      version: "TLSv1.3",
      cipher: "TLS_AES_128_GCM_SHA256",
      commonName: "client"
    })
  })

  it("answers 10,000 mutations with a header, a refusal or more, and the same byte by byte", () => {
    const seeds = Object.values(cases).map(([bytes]) => bytes)
    let state = 20_261_129
    const random = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor(state / 2 ** 32 * below)
    }
    const seen = { More: 0, Header: 0, Refused: 0 }
    for (let round = 0; round < 10_000; round++) {
      let bytes = Buffer.from(seeds[random(seeds.length)]!)
      for (let changes = 1 + random(3); changes > 0; changes--) {
        const at = random(bytes.length + 1)
        const change = random(4)
        bytes = change === 0
          ? bytes.subarray(0, at)
          : Buffer.concat([
            bytes.subarray(0, at),
            Buffer.from([random(256)]),
            bytes.subarray(change === 1 ? at : change === 2 ? at + 1 : at + 1 + random(4))
          ])
      }
      const whole = parse(bytes, options)
      seen[whole._tag]++
      const grown = byteByByte(bytes)
      // a refusal may be known before the header is whole
      if (whole._tag !== "Refused") assert.deepStrictEqual(grown, whole, bytes.toString("hex"))
      else assert.strictEqual(grown._tag, "Refused", bytes.toString("hex"))
      if (whole._tag === "Header") assert.isAtMost(whole.length, Math.min(bytes.length, options.longest))
    }
    assert.isAbove(Math.min(seen.More, seen.Header, seen.Refused), 100, JSON.stringify(seen))
  })
})

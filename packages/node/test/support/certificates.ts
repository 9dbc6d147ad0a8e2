/**
 * Keys and certificates for tests, made when a test asks for them: no network,
 * no `openssl` on the machine, no fixture that expires. Just enough X.509 for
 * OpenSSL to accept the chain: an EC key, names, validity, CA or not.
 */
import * as Crypto from "node:crypto"
import * as Net from "node:net"

/** A private key and its certificate, as PEM. */
export interface Pair {
  readonly key: string
  readonly cert: string
}

export interface CertificateOptions {
  /** The common name. */
  readonly name: string
  /** Host names and IP addresses it is for. */
  readonly hosts?: ReadonlyArray<string>
  readonly validFrom?: Date
  readonly validTo?: Date
}

export interface Authority extends Pair {
  /** A certificate signed by this authority. */
  readonly issue: (options: CertificateOptions) => Pair
  /** Another authority, signed by this one. */
  readonly intermediate: (options: CertificateOptions) => Authority
}

/** A self-signed authority. */
export const makeAuthority = (options: CertificateOptions): Authority => authority(options, undefined)

/** A self-signed certificate for 127.0.0.1 and localhost. */
export const selfSigned = (options?: Partial<CertificateOptions>): Pair =>
  certify({ name: "localhost", hosts: ["localhost", "127.0.0.1"], ...options }, false, undefined)

interface Issuer {
  readonly name: string
  readonly key: string
}

const authority = (options: CertificateOptions, by: Issuer | undefined): Authority => {
  const pair = certify(options, true, by)
  const self: Issuer = { name: options.name, key: pair.key }
  return {
    ...pair,
    issue: (options) => certify(options, false, self),
    intermediate: (options) => authority(options, self)
  }
}

const hour = 3_600_000

const certify = (options: CertificateOptions, isAuthority: boolean, issuer: Issuer | undefined): Pair => {
  const { privateKey, publicKey } = Crypto.generateKeyPairSync("ec", { namedCurve: "P-256" })
  const validFrom = options.validFrom ?? new Date(Date.now() - hour)
  const validTo = options.validTo ?? new Date(Date.now() + 24 * hour)
  const body = sequence(
    explicit(0, integer(Buffer.of(2))),
    integer(Buffer.concat([Buffer.of(1), Crypto.randomBytes(15)])),
    ecdsaWithSha256,
    commonName(issuer?.name ?? options.name),
    sequence(time(validFrom), time(validTo)),
    commonName(options.name),
    publicKey.export({ type: "spki", format: "der" }),
    explicit(3, sequence(basicConstraints(isAuthority), ...alternativeNames(options.hosts ?? [])))
  )
  const signature = Crypto.sign("sha256", body, issuer?.key ?? privateKey)
  const certificate = sequence(body, ecdsaWithSha256, bitString(signature))
  const lines = certificate.toString("base64").match(/.{1,64}/g) ?? []
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`
  }
}

// --- DER: tag, length, content ---------------------------------------------------------------------------------------

const element = (tag: number, ...content: ReadonlyArray<Uint8Array>): Buffer => {
  const body = Buffer.concat(content)
  const size = body.length
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff]
  return Buffer.concat([Buffer.of(tag, ...length), body])
}

const sequence = (...content: ReadonlyArray<Uint8Array>): Buffer => element(0x30, ...content)
const explicit = (index: number, content: Uint8Array): Buffer => element(0xa0 | index, content)
const integer = (bytes: Uint8Array): Buffer => element(0x02, bytes)
const bitString = (bytes: Uint8Array): Buffer => element(0x03, Buffer.of(0), bytes)
const octetString = (bytes: Uint8Array): Buffer => element(0x04, bytes)
const oid = (hex: string): Buffer => element(0x06, Buffer.from(hex, "hex"))

/** UTCTime has two digits for the year and ends with 2049; GeneralizedTime goes on. */
const time = (date: Date): Buffer => {
  const digits = `${date.toISOString().replace(/\.\d+/, "").replace(/\D/g, "")}Z`
  return date.getUTCFullYear() < 2050
    ? element(0x17, Buffer.from(digits.slice(2)))
    : element(0x18, Buffer.from(digits))
}

const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"))

const commonName = (name: string): Buffer =>
  sequence(element(0x31, sequence(oid("550403"), element(0x0c, Buffer.from(name)))))

const extension = (id: string, critical: boolean, value: Uint8Array): Buffer =>
  sequence(oid(id), ...(critical ? [element(0x01, Buffer.of(0xff))] : []), octetString(value))

const basicConstraints = (isAuthority: boolean): Buffer =>
  extension("551d13", true, sequence(...(isAuthority ? [element(0x01, Buffer.of(0xff))] : [])))

const alternativeNames = (hosts: ReadonlyArray<string>): ReadonlyArray<Buffer> =>
  hosts.length === 0
    ? []
    : [
      extension(
        "551d11",
        false,
        sequence(...hosts.map((host) =>
          Net.isIPv4(host)
            ? element(0x87, Buffer.from(host.split(".").map(Number)))
            : element(0x82, Buffer.from(host))
        ))
      )
    ]

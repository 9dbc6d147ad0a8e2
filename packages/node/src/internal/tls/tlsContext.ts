/**
 * Keys and certificates, checked before they are needed.
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import * as Tls from "node:tls"
import type { ContextOptions, Pem } from "../../NodeTls.ts"
import { causeText } from "../platform/causeText.ts"

/**
 * A key and certificate that work, as Node takes them; or why they do not, in
 * words for an operator that quote nothing secret.
 *
 * Node itself reports a key that fits no certificate, and little else: it
 * listens without a certificate, with one that is expired, and with a `ca` that
 * is no certificate, and every client finds out.
 */
export const checkContext = (
  options: ContextOptions,
  now: number
): Result.Result<Tls.SecureContextOptions, string> =>
  Result.gen(function*() {
    const certificates = yield* certificatesIn("cert", options.cert)
    const key = yield* privateKeyIn(options)
    // there is a first one, or `certificatesIn` had failed
    const leaf = certificates[0]!
    if (!leaf.checkPrivateKey(key)) {
      return yield* Result.fail(`key is not the private key of the certificate of ${subject(leaf)}`)
    }
    for (const certificate of certificates) yield* checkValidity(certificate, now)
    for (const ca of authorities(options.ca)) yield* certificatesIn("ca", ca)
    const checked: Tls.SecureContextOptions = {
      key: text(options.key),
      cert: text(options.cert),
      ...(options.passphrase === undefined ? {} : { passphrase: text(options.passphrase) }),
      ...(options.ca === undefined ? {} : { ca: authorities(options.ca).map(text) }),
      ...(options.minVersion === undefined ? {} : { minVersion: options.minVersion })
    }
    // OpenSSL has rules of its own: a key too short, a digest too weak
    return yield* Result.mapBoth(attempt(() => Tls.createSecureContext(checked)), {
      onSuccess: () => checked,
      onFailure: (message) => `key and cert are refused: ${message}`
    })
  })

/** Where a certificate begins, in a file that may hold several and other things. */
const begin = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/

const certificatesIn = (
  option: "cert" | "ca",
  pem: Pem | undefined
): Result.Result<ReadonlyArray<Crypto.X509Certificate>, string> => {
  const blocks = text(pem).split(new RegExp(`(?=${begin.source})`)).filter((block) => begin.test(block))
  if (blocks.length === 0) return Result.fail(`${option} ${missing(pem)} a certificate in PEM`)
  return Result.all(blocks.map((block, index) =>
    Result.mapError(
      attempt(() => new Crypto.X509Certificate(block)),
      (message) => `certificate ${index + 1} of ${option} cannot be read: ${message}`
    )
  ))
}

const privateKeyIn = (options: ContextOptions): Result.Result<Crypto.KeyObject, string> => {
  const key = text(options.key)
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key)) {
    return Result.fail(`key ${missing(options.key)} a private key in PEM`)
  }
  const encrypted = /-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(key)
  if (encrypted && options.passphrase === undefined) return Result.fail("key is encrypted, and passphrase is not given")
  return Result.mapError(
    attempt(() => Crypto.createPrivateKey({ key, passphrase: text(options.passphrase) })),
    (message) => encrypted ? `key cannot be decrypted with passphrase: ${message}` : `key cannot be read: ${message}`
  )
}

const checkValidity = (certificate: Crypto.X509Certificate, now: number): Result.Result<void, string> => {
  const which = `the certificate of ${subject(certificate)}`
  const at = (time: number) => new Date(time).toISOString()
  const { validFromDate, validToDate } = certificate
  if (now > validToDate.getTime()) return Result.fail(`${which} expired at ${at(validToDate.getTime())}`)
  return now < validFromDate.getTime()
    ? Result.fail(`${which} is not valid before ${at(validFromDate.getTime())}, and it is ${at(now)} here`)
    : Result.void
}

const subject = (certificate: Crypto.X509Certificate): string =>
  certificate.subject?.replaceAll("\n", ", ") ?? certificate.subjectAltName ?? `serial ${certificate.serialNumber}`

const authorities = (ca: ContextOptions["ca"]): ReadonlyArray<Pem> => ca === undefined ? [] : isMany(ca) ? ca : [ca]

const isMany = (ca: Pem | ReadonlyArray<Pem>): ca is ReadonlyArray<Pem> => Array.isArray(ca)

/** PEM is text, whatever it comes as; nothing where JavaScript passes something else. */
const text = (value: Pem | Redacted.Redacted<Pem> | undefined): string => {
  const pem: unknown = Redacted.isRedacted(value) ? Redacted.value(value) : value
  return typeof pem === "string" ? pem : pem instanceof Uint8Array ? Buffer.from(pem).toString() : ""
}

const missing = (value: Pem | Redacted.Redacted<Pem> | undefined): string =>
  text(value) === ""
    ? "is missing: expected"
    : looksLikePath(text(value))
    ? "looks like the path of a file, whose text is expected:"
    : "does not hold"

/** Other servers take the name of a file here: one line with a slash or an extension, and not a key without its frame. */
const looksLikePath = (text: string): boolean =>
  /^(?!.*-----)[^\r\n]{0,1024}(?:[\\/]|\.\w{1,12}$)[^\r\n]*\s*$/.test(text) && !/^[\w+/=]{64,}\s*$/.test(text)

const attempt = <A>(f: () => A): Result.Result<A, string> => Result.try({ try: f, catch: causeText })

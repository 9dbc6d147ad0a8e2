import { Listener, ListenerError } from "@effect-listener/core"
import { NodeTcp, NodeTls } from "@effect-listener/node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import * as Crypto from "node:crypto"
import { makeAuthority, type Pair, selfSigned } from "./support/certificates.ts"
import { portOf } from "./support/listening.ts"
import { refusal } from "./support/netClient.ts"
import { connectTls } from "./support/tlsClient.ts"
import { serveTls } from "./support/tlsListening.ts"

const host = "127.0.0.1"

const good = selfSigned()
const other = selfSigned({ name: "other.example" })
const authority = makeAuthority({ name: "Test CA" })
const lastCentury = { validFrom: new Date("1990-01-01T00:00:00Z"), validTo: new Date("1999-12-31T23:59:59Z") }
const nextCentury = { validFrom: new Date("2100-01-01T00:00:00Z"), validTo: new Date("2101-01-01T00:00:00Z") }

const encryptedKey = Crypto.createPrivateKey(good.key)
  .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open sesame" }).toString()

/** An RSA key that OpenSSL finds too short, in the certificate of an EC key: readable each, of no use together. */
const rsaKey = Crypto.generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey
  .export({ type: "pkcs8", format: "pem" }).toString()

const chainOf = (options: { readonly validFrom: Date; readonly validTo: Date }): Pair => {
  const intermediate = authority.intermediate({ name: "Intermediate", ...options })
  const pair = intermediate.issue({ name: "chain.example" })
  return { key: pair.key, cert: `${pair.cert}${intermediate.cert}` }
}

const cases: Record<string, readonly [options: Partial<NodeTls.TransportOptions>, detail: RegExp]> = {
  "no key": [{ ...good, key: "" }, /^key is missing: expected a private key in PEM$/],
  // what an unset environment variable is in JavaScript
  "an undefined cert": [
    { ...good, cert: undefined as unknown as string },
    /^cert is missing: expected a certificate in PEM$/
  ],
  "a key that is none": [{ ...good, key: "secret" }, /^key does not hold a private key in PEM$/],
  "a certificate for a key": [{ ...good, key: good.cert }, /^key does not hold a private key in PEM$/],
  "a damaged key": [{ ...good, key: good.key.replace(/\n.{20}/, "\nAAAA") }, /^key cannot be read: /],
  "an encrypted key without its passphrase": [
    { ...good, key: encryptedKey },
    /^key is encrypted, and passphrase is not given$/
  ],
  "a wrong passphrase": [
    { ...good, key: encryptedKey, passphrase: "let me in" },
    /^key cannot be decrypted with passphrase: /
  ],
  "a cert that is none": [{ ...good, cert: "public" }, /^cert does not hold a certificate in PEM$/],
  "the path of a certificate": [
    { ...good, cert: "cert.pem" },
    /^cert looks like the path of a file, whose text is expected: a certificate in PEM$/
  ],
  "the path of a key": [
    { ...good, key: "/etc/ssl/private/server" },
    /^key looks like the path of a file, whose text is expected: a private key in PEM$/
  ],
  "the path of an authority": [
    { ...good, ca: "..\\certs\\ca.crt\n" },
    /^ca looks like the path of a file, whose text is expected: a certificate in PEM$/
  ],
  "a key without its frame": [
    { ...good, key: good.key.split("\n").slice(1, -2).join("") },
    /^key does not hold a private key in PEM$/
  ],
  "a key for a certificate": [{ ...good, cert: good.key }, /^cert does not hold a certificate in PEM$/],
  "a damaged certificate": [
    { ...good, cert: good.cert.slice(0, 200) },
    /^certificate 1 of cert cannot be read: /
  ],
  "a damaged intermediate certificate": [
    { ...good, cert: `${good.cert}${good.cert.slice(0, 200)}` },
    /^certificate 2 of cert cannot be read: /
  ],
  "the key of another certificate": [
    { ...good, key: other.key },
    /^key is not the private key of the certificate of CN=localhost$/
  ],
  "a key of another kind": [
    { ...good, key: rsaKey },
    /^key is not the private key of the certificate of CN=localhost$/
  ],
  "an expired certificate": [
    selfSigned(lastCentury),
    /^the certificate of CN=localhost expired at 1999-12-31T23:59:59\.000Z$/
  ],
  "a certificate of the future": [
    selfSigned(nextCentury),
    /^the certificate of CN=localhost is not valid before 2100-01-01T00:00:00\.000Z, and it is 2\S+Z here$/
  ],
  "an expired intermediate certificate": [
    chainOf(lastCentury),
    /^the certificate of CN=Intermediate expired at 1999-12-31T23:59:59\.000Z$/
  ],
  "a ca that is none": [{ ...good, ca: [authority.cert, "me"] }, /^ca does not hold a certificate in PEM$/],
  "requestCert without ca": [{ ...good, requestCert: true }, /^requestCert needs ca: /],
  "a version that Node does not know": [
    { ...good, minVersion: "TLSv9" as "TLSv1.3" },
    /^key and cert are refused: .*TLSv9/
  ]
}

/** A port that was free a moment ago. */
const freePort = Effect.scoped(Effect.map(NodeTcp.transport({ host, port: 0 }).bind, ({ address }) => portOf(address)))

describe("NodeTls.transport refuses to open with", () => {
  for (const [name, [options, detail]] of Object.entries(cases)) {
    it.live(name, () =>
      Effect.gen(function*() {
        const port = yield* freePort
        const listener = yield* Listener.make(NodeTls.transport({ ...good, ...options, host, port }))
        const error = yield* Effect.flip(listener.open)
        assert.instanceOf(error, ListenerError.SecurityFailure)
        assert.match(error.detail, detail)
        assert.notInclude(error.detail, "secret")
        assert.strictEqual(yield* listener.state, "Created")
        assert.strictEqual(yield* refusal({ host, port }), "ECONNREFUSED")
      }))
  }

  it.live("a protocol name that ALPN has no room for", () =>
    Effect.gen(function*() {
      const listener = yield* Listener.make(NodeTls.transport({ ...good, host, port: 0, alpnProtocols: ["h2", ""] }))
      const error = yield* Effect.flip(listener.open)
      assert.instanceOf(error, ListenerError.InvalidArgument)
      assert.strictEqual(error.parameter, "alpnProtocols")
    }))

  it.effect("a certificate that is valid by the machine's clock and not by the fiber's", () =>
    Effect.gen(function*() {
      const pair = selfSigned({
        validFrom: new Date("2020-01-01T00:00:00Z"),
        validTo: new Date("2030-01-01T00:00:00Z")
      })
      yield* TestClock.setTime(new Date("2019-12-31T23:59:59Z").getTime())
      assert.match((yield* Effect.flip(NodeTls.secureContext(pair))).detail, /not valid before 2020/)
      yield* TestClock.adjust("1 second")
      yield* NodeTls.secureContext(pair)
      yield* TestClock.setTime(new Date("2030-01-01T00:00:00.001Z").getTime())
      assert.match((yield* Effect.flip(NodeTls.secureContext(pair))).detail, /expired at 2030/)
    }))
})

describe("NodeTls.transport opens with", () => {
  const chain = chainOf({ validFrom: new Date("2020-01-01T00:00:00Z"), validTo: new Date("2999-01-01T00:00:00Z") })
  const opens: Record<string, Partial<NodeTls.TransportOptions>> = {
    "text": good,
    "bytes": { key: Buffer.from(good.key), cert: new Uint8Array(Buffer.from(good.cert)) },
    "a redacted key": { ...good, key: Redacted.make(good.key) },
    "an encrypted key and its passphrase": { ...good, key: encryptedKey, passphrase: Redacted.make("open sesame") },
    "key and certificates in one file": {
      key: good.key + good.cert,
      cert: good.key + good.cert
    },
    "a chain": chain,
    // an authority may be expired: it is for the client's certificate to be valid
    "several authorities": {
      ...good,
      requestCert: true,
      ca: [authority.cert, makeAuthority({ name: "Old", ...lastCentury }).cert]
    }
  }
  for (const [name, options] of Object.entries(opens)) {
    it.live(name, () =>
      Effect.gen(function*() {
        const { listener } = yield* serveTls({ tls: { ...good, ...options } })
        const client = options.requestCert === true ? authority.issue({ name: "client" }) : {}
        const peer = yield* connectTls(yield* listener.address, { ...client, rejectUnauthorized: false })
        const shown = new Crypto.X509Certificate(options === chain ? chain.cert : good.cert)
        assert.strictEqual(peer.socket.getPeerX509Certificate()?.fingerprint256, shown.fingerprint256)
        yield* peer.send("hello\n")
        assert.strictEqual((yield* peer.received(6)).toString(), "hello\n")
      }))
  }
})

import { Listener, ListenerError } from "@effect-listener/core"
import { NodeTls } from "@effect-listener/node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber } from "effect"
import { makeAuthority, type Pair, selfSigned } from "./support/certificates.ts"
import { echo } from "./support/handlers.ts"
import { start } from "./support/listening.ts"
import { connectTls, type TlsPeer } from "./support/tlsClient.ts"
import { serveTls } from "./support/tlsListening.ts"

const authority = makeAuthority({ name: "Test CA" })
const site = { name: "localhost", hosts: ["localhost"] }
const old = authority.issue(site)
const renewed = authority.issue(site)
const client = { ca: authority.cert }

const shown = (peer: TlsPeer) => peer.socket.getPeerX509Certificate()?.toString()

const echoed = (peer: TlsPeer, text: string) =>
  Effect.map(Effect.andThen(peer.send(`${text}\n`), peer.received(text.length + 1)), String)

describe("NodeTls.reload", () => {
  it.live("is for new handshakes only", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serveTls({ tls: old })
      const address = yield* listener.address
      const before = yield* connectTls(address, client)
      yield* NodeTls.reload(transport, renewed)
      const after = yield* connectTls(address, client)
      assert.strictEqual(shown(before), old.cert)
      assert.strictEqual(shown(after), renewed.cert)
      assert.strictEqual(yield* echoed(before, "still here"), "still here\n")
      assert.strictEqual(yield* echoed(after, "hello"), "hello\n")
    }))

  it.live("of a copy of a transport dies with a TypeError that says so", () =>
    Effect.gen(function*() {
      const { transport } = yield* serveTls({ tls: old })
      const exit = yield* Effect.exit(NodeTls.reload({ ...transport }, renewed))
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.instanceOf(error, TypeError)
      assert.match(error.message, /^expected a transport that NodeTls.transport has made/)
    }))

  it.live("of a bad pair leaves the old one", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serveTls({ tls: old })
      const bad = [
        { key: renewed.key, cert: old.cert },
        { key: "", cert: "" },
        selfSigned({ validFrom: new Date("1990-01-01"), validTo: new Date("1999-12-31") })
      ]
      for (const next of bad) {
        const error = yield* Effect.flip(NodeTls.reload(transport, next))
        assert.instanceOf(error, ListenerError.SecurityFailure)
        assert.strictEqual(error.operation, "reload")
      }
      const peer = yield* connectTls(yield* listener.address, client)
      assert.strictEqual(shown(peer), old.cert)
      assert.strictEqual(yield* echoed(peer, "hello"), "hello\n")
    }))

  it.live("lasts: also from before the listener opens, and when it opens again", () =>
    Effect.gen(function*() {
      const transport = NodeTls.transport({ host: "127.0.0.1", port: 0, key: "", cert: "" })
      const listener = yield* Listener.make(transport)
      assert.strictEqual((yield* Effect.flip(listener.open))._tag, "SecurityFailure")
      for (const next of [old, renewed]) {
        yield* NodeTls.reload(transport, next)
        yield* listener.open
        yield* start(Listener.serve(listener, echo))
        assert.strictEqual(shown(yield* connectTls(yield* listener.address, client)), next.cert)
        yield* Effect.ignore(listener.close({ deadline: 0 }))
        yield* listener.reset
      }
    }))

  it.live("forgets the passphrase of the old key, and keeps everything else", () =>
    Effect.gen(function*() {
      const next = makeAuthority({ name: "Next CA" })
      const alice = authority.issue({ name: "alice" })
      const bob = next.issue({ name: "bob" })
      const { listener, transport } = yield* serveTls({
        tls: { ...old, requestCert: true, ca: authority.cert, alpnProtocols: ["echo"], passphrase: "not needed" }
      })
      const address = yield* listener.address
      const greet = Effect.fnUntraced(function*(identity: Pair) {
        const peer = yield* connectTls(address, { ...client, ...identity, ALPNProtocols: ["echo"] })
        assert.strictEqual(peer.socket.alpnProtocol, "echo")
        return yield* Effect.orElseSucceed(echoed(peer, "hello"), () => "refused")
      })
      yield* NodeTls.reload(transport, renewed)
      assert.deepStrictEqual([yield* greet(alice), yield* greet(bob)], ["hello\n", "refused"])
      yield* NodeTls.reload(transport, { ...renewed, ca: [authority.cert, next.cert] })
      assert.deepStrictEqual([yield* greet(alice), yield* greet(bob)], ["hello\n", "hello\n"])
    }))

  it.live("lets clients come back that resume the session of an old certificate", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serveTls({ tls: old })
      const address = yield* listener.address
      const first = yield* connectTls(address, client)
      let session: Buffer | undefined
      first.socket.on("session", (ticket) => {
        session = ticket
      })
      yield* echoed(first, "hello")
      const second = yield* connectTls(address, { ...client, session })
      assert.isTrue(second.socket.isSessionReused())
      yield* NodeTls.reload(transport, renewed)
      const third = yield* connectTls(address, { ...client, session })
      assert.isFalse(third.socket.isSessionReused())
      assert.strictEqual(yield* echoed(third, "hello"), "hello\n")
    }))

  it.live("under load fails no handshake and no connection", () =>
    Effect.gen(function*() {
      const { listener, log, transport } = yield* serveTls({ tls: old })
      const address = yield* listener.address
      let reloads = 0
      const reloading = yield* start(
        Effect.forever(
          Effect.suspend(() => NodeTls.reload(transport, reloads++ % 2 === 0 ? renewed : old)).pipe(
            Effect.andThen(Effect.sleep("2 millis"))
          )
        )
      )
      const seen = new Set<string | undefined>()
      const visit = Effect.scoped(Effect.gen(function*() {
        const peer = yield* connectTls(address, client)
        seen.add(shown(peer))
        return yield* echoed(peer, "hello")
      }))
      const answers = yield* Effect.forEach(Array.from({ length: 500 }), () => visit, { concurrency: 32 })
      yield* Fiber.interrupt(reloading)
      assert.strictEqual(answers.filter((answer) => answer === "hello\n").length, 500)
      assert.isAbove(reloads, 10)
      assert.strictEqual(seen.size, 2)
      assert.deepStrictEqual(log, [])
    }))
})

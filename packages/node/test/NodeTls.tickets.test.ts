import * as NodeTls from "@effect-listener/node/NodeTls"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Crypto from "node:crypto"
import type * as Tls from "node:tls"
import { makeAuthority } from "./support/certificates.ts"
import { connectTls } from "./support/tlsClient.ts"
import { serveTls } from "./support/tlsListening.ts"

const authority = makeAuthority({ name: "Test CA" })
const identity = authority.issue({ name: "localhost", hosts: ["localhost"] })

type Options = Partial<NodeTls.TransportOptions>

const serve = (options: Options) =>
  Effect.flatMap(
    serveTls({ tls: { ...identity, ...options } }),
    ({ listener, transport }) => Effect.map(listener.address, (address) => ({ address, transport }))
  )

/** Shakes hands, and answers whether the session was resumed, and the ticket for the next one. */
const visit = (
  { address }: Effect.Success<ReturnType<typeof serve>>,
  maxVersion: Tls.SecureVersion,
  session?: Buffer
) =>
  Effect.scoped(Effect.gen(function*() {
    const peer = yield* connectTls(address, { ca: authority.cert, maxVersion, session })
    // a ticket comes after the handshake, before what the server has to say
    yield* peer.send("hello\n")
    yield* peer.received(6)
    return { resumed: peer.socket.isSessionReused(), session: peer.socket.getSession() }
  }))

const keys = () => Crypto.randomBytes(48)

describe.each(["TLSv1.2", "TLSv1.3"] as const)("NodeTls, ticketKeys, %s", (version) => {
  it.live("a client resumes its session with another listener that has the same", () =>
    Effect.gen(function*() {
      const ticketKeys = keys()
      const one = yield* serve({ ticketKeys })
      const two = yield* serve({ ticketKeys: Redacted.make(ticketKeys) })
      const first = yield* visit(one, version)
      assert.isFalse(first.resumed)
      assert.isTrue((yield* visit(two, version, first.session)).resumed)
    }))

  it.live("and not where they differ, or are not given", () =>
    Effect.gen(function*() {
      for (const [a, b] of [[{ ticketKeys: keys() }, { ticketKeys: keys() }], [{}, {}]] as const) {
        const first = yield* visit(yield* serve(a), version)
        assert.isFalse((yield* visit(yield* serve(b), version, first.session)).resumed)
      }
    }))

  it.live("they outlast a reload, and can be replaced by one", () =>
    Effect.gen(function*() {
      const [ticketKeys, next] = [keys(), keys()]
      const one = yield* serve({ ticketKeys })
      const first = yield* visit(one, version)
      yield* NodeTls.reload(one.transport, identity)
      const second = yield* visit(one, version, first.session)
      assert.isTrue(second.resumed)
      yield* NodeTls.reload(one.transport, { ...identity, ticketKeys: next })
      assert.isFalse((yield* visit(one, version, second.session)).resumed)
    }))

  it.live("a reload with other authorities ends the sessions", () =>
    Effect.gen(function*() {
      const one = yield* serve({ ticketKeys: keys(), ca: authority.cert })
      const first = yield* visit(one, version)
      yield* NodeTls.reload(one.transport, { ...identity, ca: authority.cert })
      assert.isFalse((yield* visit(one, version, first.session)).resumed)
    }))
})

describe("NodeTls, bad ticketKeys", () => {
  it.live.each([0, 47, 49])(
    "of %i bytes fail the bind with InvalidArgument, and a reload",
    (length) =>
      Effect.gen(function*() {
        const ticketKeys = new Uint8Array(length)
        const bind = NodeTls.transport({ port: 0, ...identity, ticketKeys }).bind
        assert.deepInclude(yield* Effect.flip(Effect.scoped(bind)), {
          _tag: "InvalidArgument",
          parameter: "ticketKeys"
        })
        const { transport } = yield* serve({})
        const error = yield* Effect.flip(NodeTls.reload(transport, { ...identity, ticketKeys }))
        assert.deepInclude(error, { _tag: "SecurityFailure", detail: "ticketKeys: expected 48 bytes" })
      })
  )
})

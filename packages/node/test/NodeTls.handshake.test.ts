import type { Connection } from "@effect-listener/core"
import { ListenerError } from "@effect-listener/core"
import { NodeTls } from "@effect-listener/node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Queue } from "effect"
import { makeAuthority } from "./support/certificates.ts"
import { echo, makeHolder } from "./support/handlers.ts"
import { start, timed, until, untilStage } from "./support/listening.ts"
import { connect } from "./support/peer.ts"
import { connectTls } from "./support/tlsClient.ts"
import { connectionsOf, pair, serveTls } from "./support/tlsListening.ts"

const authority = makeAuthority({ name: "Test CA" })
const stranger = makeAuthority({ name: "Somebody" })

/** The beginning of a ClientHello of 512 bytes. */
const halfHello = Uint8Array.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03)

const client = { ca: pair.cert }

/** Echoes, and hands out what each handshake has settled. */
const makeInformer = Effect.map(Queue.unbounded<NodeTls.TlsInfo>(), (infos) => ({
  info: Queue.take(infos),
  handler: (connection: Connection.Connection) =>
    Effect.flatMap(
      NodeTls.info(connection),
      (info) => Effect.andThen(Queue.offer(infos, Option.getOrThrow(info)), echo(connection))
    )
}))

describe("a TLS handshake", () => {
  for (const [what, bytes] of [["half a ClientHello", halfHello], ["not a byte", new Uint8Array()]] as const) {
    it.live(`of which ${what} has come holds a close no longer than the idle grace, and is counted idle`, () =>
      Effect.gen(function*() {
        const { listener, log } = yield* serveTls({
          drain: { idleGrace: "300 millis", linger: { idle: "20 seconds" } }
        })
        const peer = yield* connect(yield* listener.address)
        yield* peer.send(bytes)
        yield* until("the handshake has begun", () => peer.socket.bytesWritten === bytes.length)
        yield* until("it is known", () => connectionsOf(listener).length === 1)
        assert.strictEqual(connectionsOf(listener)[0]?.phase, "Handshake")
        const [report, millis] = yield* timed(listener.close())
        assert.deepInclude(report.connections, { total: 1, idle: 1 })
        assert.isAtLeast(millis, 299)
        assert.isBelow(millis, 2300)
        assert.strictEqual(yield* peer.ending, "FIN")
        assert.deepStrictEqual(log, [])
      }))
  }

  it.live("that is completed while the listener drains is served, told, and ended with a goodbye", () =>
    Effect.gen(function*() {
      const told = yield* Deferred.make<void>()
      const { listener } = yield* serveTls({
        drain: { idleGrace: "5 seconds" },
        handler: (connection) =>
          Effect.andThen(
            // at once: what a handler has forked ends with it
            Effect.forkChild(Effect.andThen(connection.draining, Deferred.succeed(told, undefined)), {
              startImmediately: true
            }),
            Effect.scoped(Effect.flatMap(connection.socket.writer, (writer) => writer.write("welcome\n")))
          )
      })
      // the TCP connection is made, and accepted, before the close; TLS is spoken after it began
      const raw = yield* connect(yield* listener.address, { paused: true })
      yield* until("it is accepted", () => connectionsOf(listener).length === 1)
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      const peer = yield* connectTls(yield* listener.address, { ...client, socket: raw.socket })
      yield* Deferred.await(told)
      const { data, ending } = yield* peer.rest
      assert.deepStrictEqual([data.toString(), ending], ["welcome\n", "FIN"])
      assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 1, failed: 0, cut: 0 })
    }))

  it.live("that fails ends its connection only: plain HTTP to the TLS port", () =>
    Effect.gen(function*() {
      const holder = yield* makeHolder
      const { listener, log } = yield* serveTls({ handler: holder.handler })
      const address = yield* listener.address
      const well = yield* connectTls(address, client)
      const http = yield* connect(address)
      const late = yield* connect(address)
      yield* http.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      yield* http.ending
      assert.deepStrictEqual(log, ["Info handshake failed on listener \"tls\": http request (ERR_SSL_HTTP_REQUEST)"])
      yield* well.send("hold on\n")
      yield* holder.held(1)
      const closing = yield* start(listener.close({ idleGrace: "1 second" }))
      yield* untilStage(listener, "Draining")
      yield* late.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      yield* late.ending
      yield* holder.release
      assert.strictEqual((yield* well.rest).data.toString(), "released hold on\n")
      assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 2, failed: 1, drained: 1 })
    }))

  it.live("that its client breaks off is no failure", () =>
    Effect.gen(function*() {
      const { listener, log } = yield* serveTls()
      const address = yield* listener.address
      const endings = ["end", "destroy", "resetAndDestroy"] as const
      for (const ending of endings) {
        const peer = yield* connect(address)
        yield* peer.send(halfHello)
        yield* until("it is known", () => connectionsOf(listener).length === 1)
        peer.socket[ending]()
        yield* until("it is gone", () => connectionsOf(listener).length === 0)
      }
      const peer = yield* connectTls(address, client)
      yield* peer.send("hello\n")
      assert.strictEqual((yield* peer.received(6)).toString(), "hello\n")
      assert.deepStrictEqual(log, [])
    }))

  it.live("that takes too long frees its place", () =>
    Effect.gen(function*() {
      const { listener } = yield* serveTls({
        admission: { maxConnections: 1 },
        timeouts: { handshake: "300 millis" }
      })
      const address = yield* listener.address
      const silent = yield* connect(address)
      yield* silent.send(halfHello)
      const peer = yield* connectTls(address, client)
      yield* peer.send("hello\n")
      assert.strictEqual((yield* peer.received(6)).toString(), "hello\n")
      assert.strictEqual(yield* silent.ending, "FIN")
    }))

  it.live("that was refused a place is not begun: the client gets a FIN, or words over TLS where there are some", () =>
    Effect.gen(function*() {
      const admission = { maxConnections: 1, overflow: "reject" } as const
      const curt = yield* serveTls({ admission })
      yield* connectTls(yield* curt.listener.address, client)
      const refused = yield* connect(yield* curt.listener.address)
      assert.deepStrictEqual(yield* refused.rest, { ending: "FIN", data: Buffer.alloc(0) })
      const polite = yield* serveTls({
        admission,
        refuse: (connection) =>
          Effect.scoped(Effect.flatMap(connection.socket.writer, (writer) => Effect.orDie(writer.write("busy\n"))))
      })
      yield* connectTls(yield* polite.listener.address, client)
      const told = yield* connectTls(yield* polite.listener.address, client)
      const { data, ending } = yield* told.rest
      assert.deepStrictEqual([data.toString(), ending], ["busy\n", "FIN"])
    }))
})

describe("NodeTls.info", () => {
  it.live("tells version, protocol and name", () =>
    Effect.gen(function*() {
      const { handler, info } = yield* makeInformer
      const { listener } = yield* serveTls({ handler, tls: { alpnProtocols: ["echo/2", "echo/1"] } })
      const address = yield* listener.address
      yield* connectTls(address, { ...client, ALPNProtocols: ["echo/1"] })
      assert.deepStrictEqual(yield* info, {
        version: "TLSv1.3",
        alpn: Option.some("echo/1"),
        serverName: Option.some("localhost"),
        authorized: false,
        peerCertificate: Option.none()
      })
      yield* connectTls(address, { ...client, servername: "", maxVersion: "TLSv1.2" })
      assert.deepInclude(yield* info, {
        version: "TLSv1.2",
        alpn: Option.none(),
        serverName: Option.none()
      })
      const stranger = yield* Effect.flip(connectTls(address, { ...client, ALPNProtocols: ["echo/3"] }))
      assert.match(stranger.message, /no application protocol/)
    }))
})

describe("client certificates", () => {
  const shown = authority.issue({ name: "alice" })
  const wrong = stranger.issue({ name: "mallory" })
  const requestCert = { requestCert: true, ca: authority.cert } as const

  it.live("required: a client that shows a good one is served and known", () =>
    Effect.gen(function*() {
      const { handler, info } = yield* makeInformer
      const { listener } = yield* serveTls({ handler, tls: requestCert })
      const peer = yield* connectTls(yield* listener.address, { ...client, ...shown })
      yield* peer.send("hello\n")
      assert.strictEqual((yield* peer.received(6)).toString(), "hello\n")
      const { authorized, peerCertificate } = yield* info
      assert.isTrue(authorized)
      assert.strictEqual(Option.getOrThrow(peerCertificate).subject, "CN=alice")
    }))

  it.live("required: a client that shows none, or another authority's, reaches no handler", () =>
    Effect.gen(function*() {
      let handled = 0
      const { listener, log } = yield* serveTls({
        tls: requestCert,
        handler: () => Effect.sync(() => handled++)
      })
      const address = yield* listener.address
      // in TLS 1.3 the client is done before the server has looked
      const none = yield* connectTls(address, client)
      assert.strictEqual(yield* none.ending, "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED")
      const other = yield* connectTls(address, { ...client, ...wrong })
      yield* other.ending
      yield* until("both are counted", () => log.length === 2)
      assert.match(log[0]!, /^Info handshake failed on listener "tls": peer did not return a certificate \(ERR_SSL_/)
      assert.match(log[1]!, /^Info handshake failed on listener "tls": client certificate refused: UNABLE_TO_/)
      assert.strictEqual(handled, 0)
    }))

  it.live("optional: all are served, and only those that show a good one are authorized", () =>
    Effect.gen(function*() {
      const { handler, info } = yield* makeInformer
      const { listener } = yield* serveTls({ handler, tls: { ...requestCert, rejectUnauthorized: false } })
      const address = yield* listener.address
      const seen: Array<readonly [authorized: boolean, subject: string | undefined]> = []
      for (const identity of [{}, wrong, shown]) {
        yield* connectTls(address, { ...client, ...identity })
        const { authorized, peerCertificate } = yield* info
        seen.push([authorized, Option.getOrUndefined(peerCertificate)?.subject])
      }
      assert.deepStrictEqual(seen, [[false, undefined], [false, "CN=mallory"], [true, "CN=alice"]])
    }))
})

describe("sni", () => {
  const host = (name: string) => authority.issue({ name, hosts: [name] })
  const trusting = { ca: [pair.cert, authority.cert] }
  const noSuchHost = new ListenerError.SecurityFailure({
    operation: "handshake",
    listener: "tls",
    trail: [],
    detail: "no such host"
  })

  it.live("chooses the certificate by the name the client asks for", () =>
    Effect.gen(function*() {
      const sites = {
        "a.example": yield* NodeTls.secureContext(host("a.example")),
        "b.example": yield* NodeTls.secureContext(host("b.example"))
      }
      const { listener, log } = yield* serveTls({
        tls: {
          sni: (name) =>
            name === "a.example"
              ? Effect.delay(Effect.succeed(sites[name]), "20 millis")
              : name === "b.example"
              ? Effect.succeed(sites[name])
              : Effect.fail(noSuchHost)
        }
      })
      const address = yield* listener.address
      for (const servername of ["a.example", "b.example"] as const) {
        const peer = yield* connectTls(address, { ...trusting, servername })
        assert.strictEqual(peer.socket.getPeerX509Certificate()?.subject, `CN=${servername}`)
      }
      const nameless = yield* connectTls(address, { ...trusting, servername: "" })
      assert.strictEqual(nameless.socket.getPeerX509Certificate()?.subject, "CN=localhost")
      yield* Effect.flip(connectTls(address, { ...trusting, servername: "c.example" }))
      assert.deepStrictEqual(log, ["Info handshake failed on listener \"tls\": no such host"])
    }))

  it.live("that dies ends that handshake only", () =>
    Effect.gen(function*() {
      const { listener, log } = yield* serveTls({ tls: { sni: () => Effect.die(new Error("no database")) } })
      const address = yield* listener.address
      yield* Effect.flip(connectTls(address, { ...client, servername: "a.example" }))
      assert.deepStrictEqual(log, [
        "Info handshake failed on listener \"tls\": sni died for \"a.example\": no database"
      ])
      yield* connectTls(address, { ...client, servername: "" })
    }))

  it.live("that takes long is interrupted when its client leaves, and when its time is over", () =>
    Effect.gen(function*() {
      const asked = yield* Queue.unbounded<string>()
      const interrupted = yield* Queue.unbounded<string>()
      const { listener } = yield* serveTls({
        timeouts: { handshake: "300 millis" },
        tls: {
          sni: (name) =>
            Effect.andThen(Queue.offer(asked, name), Effect.never).pipe(
              Effect.onInterrupt(() => Queue.offer(interrupted, name))
            )
        }
      })
      const address = yield* listener.address
      const leaving = yield* start(connectTls(address, { ...client, servername: "leaves.example" }))
      yield* Queue.take(asked)
      yield* Fiber.interrupt(leaving)
      assert.strictEqual(yield* Queue.take(interrupted), "leaves.example")
      yield* Effect.flip(connectTls(address, { ...client, servername: "waits.example" }))
      assert.strictEqual(yield* Queue.take(interrupted), "waits.example")
    }))
})

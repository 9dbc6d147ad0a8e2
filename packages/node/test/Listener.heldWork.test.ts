/** What comes on connections in service while the accept queue is swept. */
import * as Connection from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeTls from "@effect-listener/node/NodeTls"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as NetAddress from "effect/net/NetAddress"
import { selfSigned } from "./support/certificates.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import { quiet, start, until, untilStage } from "./support/listening.ts"
import { sweepingUntil } from "./support/sweepingUntil.ts"

const text = (chunk: Uint8Array | string): string => typeof chunk === "string" ? chunk : Buffer.from(chunk).toString()

const handlers = {
  pull: (taken: Array<string>) =>
    Effect.fnUntraced(function*(connection: Connection.Connection) {
      const { pull } = yield* connection.socket.reader
      const { writeAll } = yield* connection.socket.writer
      while (true) {
        const chunks = yield* pull
        taken.push(chunks.map(text).join(""))
        yield* writeAll(chunks)
      }
    }),
  runForEach: (taken: Array<string>) =>
    Effect.fnUntraced(function*(connection: Connection.Connection) {
      const { write } = yield* connection.socket.writer
      return yield* Connection.runForEach(connection, (chunk) => {
        taken.push(text(chunk))
        return write(chunk)
      })
    })
}

const transports = {
  TCP: () => NodeTcp.transport({ host: "127.0.0.1", port: 0 }),
  TLS: () => NodeTls.transport({ host: "127.0.0.1", port: 0, ...selfSigned() })
}

describe.each(["TCP", "TLS"] as const)("what comes over %s while the accept queue is swept", (kind) => {
  const serving = Effect.fnUntraced(function*(handler: keyof typeof handlers) {
    const gate = yield* Deferred.make<void>()
    const taken: Array<string> = []
    const listener = yield* Listener.listen(sweepingUntil(gate, transports[kind]()))
    yield* start(Listener.serve(listener, handlers[handler](taken), { idle: "pull" }))
    const address = yield* listener.address
    const port = NetAddress.isInetAddress(address) ? address.port : 0
    const peer = yield* HttpPeer.connect(port, { tls: kind === "TLS" })
    const bytesIn = () => Effect.runSync(listener.connections)[0]!.bytesIn
    /** Sends, and waits until all of it has been read from the kernel. */
    const sent = Effect.fnUntraced(function*(message: string) {
      const before = bytesIn()
      yield* peer.send(message)
      yield* until(`${message} has come`, () => bytesIn() >= before + message.length)
    })
    yield* sent("before ")
    yield* until("it is taken", () => taken.length === 1)
    const sweeping = (deadline: number) =>
      Effect.tap(start(listener.close({ deadline })), untilStage(listener, "Sweeping"))
    return { endSweep: Deferred.succeed(gate, undefined), peer, sent, sweeping, taken }
  })

  it.live.each(["pull", "runForEach"] as const)(
    "is given to the handler when the sweep is over, by %s",
    (handler) =>
      Effect.gen(function*() {
        const { endSweep, peer, sent, sweeping, taken } = yield* serving(handler)
        const closing = yield* sweeping(60_000)
        yield* sent("first ")
        yield* peer.send("second ")
        assert.deepStrictEqual(taken, ["before "])
        yield* endSweep
        yield* until("all is taken", () => taken.join("") === "before first second ")
        const report = yield* Fiber.join(closing)
        assert.deepInclude(report, { outcome: "Drained", sweepCut: false })
        assert.deepInclude(report.connections, { total: 1, cut: 0, failed: 0 })
        assert.strictEqual(yield* peer.ending, "FIN")
      }).pipe(quiet)
  )

  it.live("waits no longer than a tenth of the deadline", () =>
    Effect.gen(function*() {
      const { endSweep, peer, sent, sweeping, taken } = yield* serving("pull")
      const closing = yield* sweeping(10_000)
      yield* sent("first ")
      yield* until("it is taken", () => taken.length === 2)
      yield* peer.send("second ")
      yield* until("it is taken at once", () => taken.length === 3)
      yield* endSweep
      assert.deepInclude(yield* Fiber.join(closing), { outcome: "Drained", sweepCut: false })
    }).pipe(quiet))

  it.live("does no harm when its client goes", () =>
    Effect.gen(function*() {
      const { endSweep, peer, sent, sweeping, taken } = yield* serving("pull")
      const closing = yield* sweeping(60_000)
      yield* sent("first ")
      yield* peer.reset
      yield* endSweep
      const { connections, outcome } = yield* Fiber.join(closing)
      assert.strictEqual(outcome, "Drained")
      assert.deepInclude(connections, { total: 1, cut: 0, failed: 0 })
      assert.isAtMost(taken.length, 2)
    }).pipe(quiet))
})

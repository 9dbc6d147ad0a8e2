import type { Transport, TransportConnection } from "@effect-listener/core/Transport"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Socket from "effect/socket/Socket"
import * as ChildProcess from "node:child_process"
import * as Net from "node:net"
import * as Path from "node:path"
import { promisify } from "node:util"
import { lines } from "../soak/protocols.ts"
import { soak } from "../soak/rounds.ts"
import { Tally } from "../soak/tally.ts"

const program = Path.join(import.meta.dirname, "..", "soak.ts")
const tcp = NodeTcp.transport({ host: "127.0.0.1", port: 0 })

/** Soaks one transport for some seconds at a time, until something is found. */
const soaked = (transport: Transport) =>
  Effect.gen(function*() {
    const tally = new Tally()
    const kind = { name: "lines", transport, protocol: lines, target: (port: number) => ({ port }), faulty: true }
    for (let seed = 1; tally.findings.length === 0; seed++) {
      yield* soak([kind], { minutes: 0.05, seed: String(seed), tally })
    }
    return tally
  })

/** A connection that does not send the end of its answers. */
const cutting = (connection: TransportConnection): TransportConnection => {
  const { reader, writer } = connection.socket
  return {
    remote: connection.remote,
    local: connection.local,
    protocol: connection.protocol,
    socket: Socket.make({
      reader,
      writer: Effect.map(writer, (writer) => ({
        write: writer.write,
        writeAll: (chunks) => writer.writeAll([chunks[0]])
      }))
    }),
    ready: connection.ready,
    settled: connection.settled,
    bytesPending: () => connection.bytesPending(),
    endReading: (error) => connection.endReading(error),
    goodbye: (linger) => connection.goodbye(linger),
    destroy: connection.destroy
  }
}

describe("a soak", () => {
  it("finds nothing lost and nothing left, by TCP, TLS, HTTP and HTTPS", async () => {
    const { stderr, stdout } = await promisify(ChildProcess.execFile)(process.execPath, [program, "0.05"], {
      env: { ...process.env, SOAK_SEED: "1" },
      timeout: 170_000
    }).catch((failed) => failed)
    const said = `${stdout}${stderr}`
    assert.match(stdout, /seed 1\n/, said)
    for (const row of ["lost", "leaked", "  accepted ≠ ended \\+ open"]) {
      assert.match(stdout, new RegExp(`^  ${row} \\(must be 0\\) +0$`, "m"), said)
    }
    for (const row of ["connections", "exchanges", "closes", "bad clients", "scrapes of the metrics"]) {
      assert.match(stdout, new RegExp(`^  ${row} +[1-9]`, "m"), said)
    }
    assert.notMatch(stdout, /^FOUND/m, said)
    // how late a close may be is the soak's own bound: a machine that tests keep busy is later
    assert.match(stdout, /\n(passed|FAILED)\n$/, said)
  })

  it.live("finds answers whose end is never sent", () =>
    Effect.gen(function*() {
      const tally = yield* soaked({
        name: "cuts answers",
        bind: Effect.map(tcp.bind, ({ accept, address, stop }) => ({
          address,
          accept: Effect.map(accept, cutting),
          stop
        }))
      })
      assert.isAbove(tally.lost, 0)
      assert.match(tally.findings.join("\n"), /was executed on connection \d+ and not answered/)
      assert.isFalse(tally.passed)
    }))

  it.live("finds a listening socket that each life leaves behind", () =>
    Effect.gen(function*() {
      const left: Array<Net.Server> = []
      const leave = Effect.callback<void>((resume) => {
        left.push(Net.createServer().listen(0, "127.0.0.1", () => resume(Effect.void)))
      })
      const tally = yield* soaked({ name: "leaks", bind: Effect.tap(tcp.bind, leave) })
      yield* Effect.forEach(left, (server) =>
        Effect.callback<void>((resume) => void server.close(() => resume(Effect.void))))
      assert.isAbove(tally.leaked, 0)
      assert.isFalse(tally.passed)
      assert.match(tally.findings.join("\n"), /TCPServerWrap/)
    }))

  it("is told for how long", async () => {
    const outcome = await promisify(ChildProcess.execFile)(process.execPath, [program, "long"]).catch((error) => error)
    assert.strictEqual(outcome.code, 1)
    assert.include(outcome.stderr, "usage: pnpm soak [minutes]")
  })
})

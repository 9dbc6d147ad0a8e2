import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import { total } from "../src/internal/inspector/workerMetrics.ts"
import * as BusyClients from "./support/busyClients.ts"
import * as Workers from "./support/workers.ts"

const kinds: ReadonlyArray<Workers.Kind> = ["http", "https", "http2", "webSocket", "tcp", "tls", "unix", "rpc"]

describe("a replacement under clients that never stop", () => {
  it.live.each(kinds)("%s: no request is lost, and every generation answers", (kind) =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start(kind)
      const stop = yield* BusyClients.start(kind, supervisor.target)
      const report = yield* supervisor.replace()
      assert.deepStrictEqual(report.replaced.map(({ slot }) => slot).sort(), [0, 1])
      assert.isNull(report.failure)
      const tally = yield* stop
      assert.deepStrictEqual(BusyClients.lost(tally), {}, JSON.stringify(tally))
      for (const { by, worker } of report.replaced) {
        assert.isAbove(tally.by.get(worker.pid ?? 0) ?? 0, 0, `process ${worker.pid} answered nobody`)
        assert.isTrue(Fs.existsSync(`/proc/${by}`))
      }
      if (Workers.lines.has(kind)) {
        // a request that crossed a goodbye was not executed
        assert.strictEqual(total(yield* supervisor.metrics, "listener_exchanges_total"), tally.answered)
      }
      const closed = yield* supervisor.end()
      assert.strictEqual(closed.outcome, "Drained")
      assert.strictEqual(closed.processes, 4)
    }))
})

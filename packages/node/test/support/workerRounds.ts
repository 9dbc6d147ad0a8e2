/** Rounds of replacements and stops of workers, for short tests and for long ones. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as BusyClients from "./busyClients.ts"
import * as Workers from "./workers.ts"

/** Replaces all workers so often while clients use them: nothing is lost, and every process has answered. */
export const replaceUnderLoad = (
  kind: Workers.Kind,
  replacements: number,
  options?: Parameters<typeof BusyClients.start>[2]
) =>
  Effect.gen(function*() {
    const supervisor = yield* Workers.start(kind)
    const stop = yield* BusyClients.start(kind, supervisor.target, options)
    const processes = new Set<number>()
    for (let i = 0; i < replacements; i++) {
      const report = yield* supervisor.replace()
      assert.isNull(report.failure)
      assert.deepStrictEqual(new Set(report.replaced.map(({ slot }) => slot)), new Set([0, 1]))
      for (const { worker } of report.replaced) processes.add(worker.pid ?? 0)
    }
    const tally = yield* stop
    assert.deepStrictEqual(BusyClients.lost(tally), {}, JSON.stringify(tally))
    assert.strictEqual(processes.size, 2 * replacements)
    assert.deepStrictEqual(Array.from(processes).filter((pid) => !tally.by.has(pid)), [], "these answered no client")
    if (Workers.lines.has(kind)) {
      // a request that crossed a goodbye was not executed
      assert.strictEqual(executed(yield* supervisor.metrics), tally.answered)
    }
    const closed = yield* supervisor.end()
    assert.strictEqual(closed.outcome, "Drained")
    assert.strictEqual(closed.processes, 2 * (replacements + 1))
    return tally
  })

/** The exchanges of all workers, those that have ended included. */
const executed = (metrics: string): number => {
  let sum = 0
  for (const [, count] of metrics.matchAll(/^listener_exchanges_total\{.*\} (\d+)$/gm)) sum += Number(count)
  return sum
}

/** Ends a supervisor while clients connect: they are refused then, but those that are let in are answered. Answers how many were reset. */
export const stopUnderLoad = (kind: Workers.Kind) =>
  Effect.gen(function*() {
    const supervisor = yield* Workers.start(kind)
    const stop = yield* BusyClients.start(kind, supervisor.target, { clients: 24, fresh: "all", pause: 0 })
    yield* supervisor.replace()
    const report = yield* supervisor.end()
    const { answered, hung, refused, reset, unanswered } = yield* stop
    assert.deepStrictEqual({ unanswered, hung }, { unanswered: 0, hung: 0 })
    assert.isAbove(refused, 0)
    // each client connects for each request: what all workers of all generations have let in
    assert.strictEqual(report.accepted, answered)
    return reset
  })

/**
 * What connects between the last accept and the end of the listening socket can be reset, and nothing in Node prevents
 * it: of `stops` stops, `good` reset none.
 */
export const stopsUnderLoad = (stops: number, good: number) =>
  Effect.gen(function*() {
    const resets: Array<number> = []
    for (let i = 0; i < stops; i++) resets.push(yield* Effect.scoped(stopUnderLoad("tcp")))
    yield* Effect.log(`resets of ${stops} stops: ${resets.join(", ")}`)
    assert.isAtLeast(resets.filter((count) => count === 0).length, good)
  })

/**
 * Explores every pair of events that can happen to a listener, and the triples
 * that `combinations.ts` names: bounded to two preemptions first, then by chance.
 * The schedules are spread evenly. Prints the count of each combination, and
 * fails with what was found.
 *
 *     pnpm interleavings [schedules, default 1000000]
 */
import { Interleavings } from "@effect-listener/testing"
import { Effect, Option } from "effect"
import { combinations, program } from "../packages/core/test/support/combinations.ts"

const total = Number(process.argv[2] ?? 1_000_000)
const each = Math.ceil(total / combinations.length)

const explore = Effect.fnUntraced(function*(combination: (typeof combinations)[number]) {
  const report = yield* Interleavings.explore(program(combination), { maxSchedules: each })
  const name = combination.join(", ")
  console.log(`${String(report.schedules).padStart(8)}  ${report.exhaustive ? "exhaustive" : "          "}  ${name}`)
  if (Option.isSome(report.finding)) console.log(report.finding.value.message)
  return report
})

const reports = await Effect.runPromise(Effect.forEach(combinations, explore))
const schedules = reports.reduce((sum, report) => sum + report.schedules, 0)
const exhaustive = reports.filter((report) => report.exhaustive).length
const found = reports.filter((report) => Option.isSome(report.finding)).length
console.log(
  `${schedules} schedules of ${reports.length} combinations, ${exhaustive} exhaustive at bound 2, ${found} findings`
)
process.exitCode = found === 0 ? 0 : 1

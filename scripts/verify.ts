/**
 * The project's test commands.
 *
 *     node scripts/verify.ts           types, lint, format, unused code, packages, then every test
 *     node scripts/verify.ts --long    what needs longer: dozens of repetitions, whole grids, then the other Nodes
 *     node scripts/verify.ts --nodes   sockets and laws on the other Nodes that are promised
 *
 * Ends with one line, `N passed, N failed`: the tests, and one for each of the other checks. Exit code 1 when anything
 * failed or when no test ran. What needs a program that is not installed is shown as `not run: name: reason`; with
 * `--full` that is a failure.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { temporaryFolder } from "./temporaryFolder.ts"
import type { Outcome } from "./verify/run.ts"
import { run, stopAll } from "./verify/run.ts"
import { checks, longTests, nodeStep, nodeTests, shortTests, type TestRun, testStep } from "./verify/steps.ts"
import { summarize } from "./verify/summary.ts"
import type { Tests } from "./verify/testReporter.ts"
import { empty } from "./verify/testReporter.ts"

const root = Path.resolve(import.meta.dirname, "..")
const full = process.argv.includes("--full")
const long = process.argv.includes("--long")
const nodes = process.argv.includes("--nodes")

const main = async (): Promise<number> => {
  const outcomes: Array<Outcome> = []
  for (const group of long || nodes ? [] : checks) {
    outcomes.push(...await Promise.all(group.map(async (step) => show(await run(step, root)))))
  }
  const tests: Array<Tests & { readonly run: Outcome }> = []
  for (const testRun of long ? longTests : nodes ? nodeTests : shortTests) {
    if (testRun.node !== undefined) {
      const fetched = show(await run(nodeStep(testRun.node), root))
      outcomes.push(fetched)
      if (fetched.failure !== undefined) continue
    }
    tests.push(await runTests(testRun))
  }
  const summary = summarize({ checks: outcomes, tests, full })
  for (const line of summary.lines) console.log(line)
  return summary.exitCode
}

const runTests = async (testRun: TestRun): Promise<Tests & { readonly run: Outcome }> => {
  const folder = temporaryFolder(root, "verify")
  try {
    const results = Path.join(folder, "tests.json")
    console.log(`${testRun.name}: running`)
    const outcome = await run(testStep(testRun, results, (text) => process.stdout.write(text)), root)
    const counted: Tests = Fs.existsSync(results) ? JSON.parse(Fs.readFileSync(results, "utf8")) : empty
    return { ...counted, run: outcome }
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}

const show = (outcome: Outcome): Outcome => {
  const seconds = (outcome.milliseconds / 1000).toFixed(1)
  if (outcome.failure === undefined) {
    console.log(`${outcome.name}: passed, ${seconds} s`)
  } else {
    console.log(`${outcome.name}: FAILED, ${seconds} s: ${outcome.failure}`)
    console.log(outcome.output.trimEnd().replace(/^/gm, "  | "))
  }
  return outcome
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    stopAll()
    process.exit(signal === "SIGINT" ? 130 : 143)
  })
}

process.exitCode = await main()

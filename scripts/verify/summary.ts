/**
 * What `verify` says at its end: pure, from the outcomes of the checks and the counts of the tests.
 */
import type { Outcome } from "./run.ts"
import type { Tests } from "./testReporter.ts"

export interface Summary {
  readonly lines: ReadonlyArray<string>
  readonly exitCode: number
}

export const summarize = (input: {
  readonly checks: ReadonlyArray<Outcome>
  /** The counts of each run of tests, and how its runner ended. */
  readonly tests: ReadonlyArray<Tests & { readonly run: Outcome }>
  /** Whether a test that could not run because a program is missing is a failure. */
  readonly full: boolean
}): Summary => {
  const missing = input.tests.flatMap(({ notRun }) => notRun.map(({ name, reason }) => `${name}: ${reason}`))
  const failed = [...input.tests.flatMap(failuresOf), ...(input.full ? missing : [])]
  const failedChecks = input.checks.filter((check) => check.failure !== undefined)
  const counts = {
    passed: input.tests.reduce((sum, { passed }) => sum + passed, 0) + input.checks.length - failedChecks.length,
    failed: failed.length + failedChecks.length
  }
  return {
    lines: [
      ...slowest(input.tests),
      ...(input.full ? [] : missing.map((line) => `not run: ${line}`)),
      ...failedChecks.map((check) => `failed: ${check.name}: ${check.failure}`),
      ...failed.map((line) => `failed: ${line}`),
      `${counts.passed} passed, ${counts.failed} failed`
    ],
    exitCode: counts.failed === 0 ? 0 : 1
  }
}

const failuresOf = (tests: Tests & { readonly run: Outcome }): ReadonlyArray<string> => {
  const { name } = tests.run
  const failed = tests.failed.map((line) => name === "tests" ? line : `${name}: ${line}`)
  if (tests.passed + failed.length === 0) return [`${name}: none ran`]
  if (!tests.complete) return [...failed, `${name}: not all ran: ${tests.run.failure ?? "the run was interrupted"}`]
  // the runner also fails for what no test stands for, such as a worker that crashed
  return failed.length === 0 && tests.run.failure !== undefined ? [`${name}: ${tests.run.failure}`] : failed
}

/** Where the time goes. */
const slowest = (tests: ReadonlyArray<Tests>): ReadonlyArray<string> =>
  tests.flatMap(({ files }) => files)
    .sort((a, b) => b.milliseconds - a.milliseconds)
    .slice(0, 10)
    .map(({ file, milliseconds }) => `slowest: ${(milliseconds / 1000).toFixed(1)} s  ${file}`)

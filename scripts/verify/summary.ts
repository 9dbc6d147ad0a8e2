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
  /** The counts, and how the test runner itself ended. */
  readonly tests: Tests & { readonly run: Outcome }
  /** Whether a test that could not run for want of a program is a failure. */
  readonly full: boolean
}): Summary => {
  const { tests } = input
  const missing = tests.notRun.map(({ name, reason }) => `${name}: ${reason}`)
  const failed = [...tests.failed, ...(input.full ? missing : [])]
  if (tests.passed + failed.length === 0) failed.push("tests: none ran")
  // the runner also fails for what no test stands for, such as a worker that crashed or a run that was cut off
  if (failed.length === 0 && tests.run.failure !== undefined) failed.push(`tests: ${tests.run.failure}`)
  else if (!tests.complete) failed.push(`tests: not all ran: ${tests.run.failure ?? "the run was interrupted"}`)
  const failedChecks = input.checks.filter((check) => check.failure !== undefined)
  const counts = {
    passed: tests.passed + input.checks.length - failedChecks.length,
    failed: failed.length + failedChecks.length
  }
  return {
    lines: [
      ...(input.full ? [] : missing.map((line) => `not run: ${line}`)),
      ...failedChecks.map((check) => `failed: ${check.name}: ${check.failure}`),
      ...failed.map((line) => `failed: ${line}`),
      `${counts.passed} passed, ${counts.failed} failed`
    ],
    exitCode: counts.failed === 0 ? 0 : 1
  }
}

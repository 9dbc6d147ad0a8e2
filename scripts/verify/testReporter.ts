/**
 * A vitest reporter that writes what `verify` counts to the file in `VERIFY_TESTS`. It is rewritten after every
 * test file, so that a run that is cut off is still counted as far as it came.
 */
import * as Fs from "node:fs"
import type { Reporter, SerializedError, TestCase, TestModule } from "vitest/node"
import { missing } from "./tools.ts"

export interface Tests {
  readonly passed: number
  readonly failed: ReadonlyArray<string>
  readonly notRun: ReadonlyArray<{ readonly name: string; readonly reason: string }>
  /** Whether the run came to its own end. */
  readonly complete: boolean
  /** How long each test file took, in milliseconds. */
  readonly files: ReadonlyArray<{ readonly file: string; readonly milliseconds: number }>
}

export const empty: Tests = { passed: 0, failed: [], notRun: [], complete: false, files: [] }

const nameOf = (test: TestCase): string => `${test.module.relativeModuleId} > ${test.fullName}`

/** Why a test was skipped; `undefined` where none was said. */
const reasonOf = (test: TestCase): string | undefined => {
  const result = test.result()
  return result.state === "skipped" ? result.note ?? missing(test.tags) : undefined
}

const setUpFailed = (test: TestCase): boolean => {
  const failed = (suite: TestCase["parent"]): boolean =>
    suite.errors().length > 0 || (suite.type === "suite" && failed(suite.parent))
  return failed(test.parent)
}

const countModule = (module: TestModule): Tests => {
  const tests = Array.from(module.children.allTests())
  const inState = (state: string) => tests.filter((test) => test.result().state === state)
  const skipped = inState("skipped")
  const unexplained = skipped.filter((test) => reasonOf(test) === undefined)
  const failed = [
    ...inState("failed").map(nameOf),
    ...inState("pending").map((test) => `${nameOf(test)}: did not end`),
    ...unexplained.map((test) =>
      `${nameOf(test)}: ${setUpFailed(test) ? "its set-up failed" : "skipped without a reason"}`
    )
  ]
  return {
    passed: inState("passed").length,
    failed: failed.length === 0 && module.state() === "failed"
      ? [`${module.relativeModuleId}: failed outside its tests`]
      : failed,
    notRun: skipped.flatMap((test) => {
      const reason = reasonOf(test)
      return reason === undefined ? [] : [{ name: nameOf(test), reason }]
    }),
    complete: true,
    files: [{ file: module.relativeModuleId, milliseconds: module.diagnostic().duration }]
  }
}

export default class TestReporter implements Reporter {
  #modules = new Map<string, Tests>()

  onTestModuleEnd(module: TestModule): void {
    this.#modules.set(`${module.project.name} ${module.moduleId}`, countModule(module))
    this.#write([], false)
  }

  onTestRunEnd(
    modules: ReadonlyArray<TestModule>,
    unhandled: ReadonlyArray<SerializedError>,
    reason: "passed" | "interrupted" | "failed"
  ): void {
    this.#modules = new Map(modules.map((module) => [`${module.project.name} ${module.moduleId}`, countModule(module)]))
    this.#write(unhandled.map((error) => `unhandled error: ${error.message}`), reason !== "interrupted")
  }

  #write(unhandled: ReadonlyArray<string>, complete: boolean): void {
    const file = process.env["VERIFY_TESTS"]
    if (file === undefined) throw new Error("VERIFY_TESTS names no file to write to")
    const modules = Array.from(this.#modules.values())
    const tests: Tests = {
      passed: modules.reduce((sum, module) => sum + module.passed, 0),
      failed: [...modules.flatMap((module) => module.failed), ...unhandled],
      notRun: modules.flatMap((module) => module.notRun),
      complete,
      files: modules.flatMap((module) => module.files)
    }
    Fs.writeFileSync(file, JSON.stringify(tests))
  }
}

import * as Testing from "@effect-listener/testing/vitest"
import * as EffectVitest from "@effect/vitest"
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as Vitest from "vitest"
import { races } from "./fixtures/races.ts"

const { buggy, corrected } = races[0]!

describe("it of vitest", () => {
  const { it } = Testing

  it("is still vitest's", () => {
    assert.strictEqual(it.each, Vitest.it.each)
    assert.isFalse("interleavings" in Vitest.it)
  })

  it.interleavings("passes when nothing is found", corrected)
  it.interleavings("takes the options of an exploration, and a timeout", corrected, { bound: 1, timeout: 10_000 })
  it.interleavings("brings a Scope", Effect.addFinalizer(() => Effect.void))
  it.interleavings.fails("fails when something is", buggy)
})

describe("it of @effect/vitest", () => {
  const it = Testing.extend(EffectVitest.it)

  it.effect("is still @effect/vitest's", () => Effect.sync(() => assert.isFalse("interleavings" in EffectVitest.it)))

  it.interleavings("passes when nothing is found", corrected)
  it.interleavings.fails("fails when something is", buggy)
})

describe("a test that fails", () => {
  const { it } = Testing
  const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs")
  const config = fileURLToPath(new URL("fixtures/vitest/vitest.config.ts", import.meta.url))

  const runVitest = async (environment: Record<string, string>): Promise<string> => {
    const args = [vitest, "run", "--config", config, "--reporter=verbose"]
    const env = { ...process.env, NO_COLOR: "1", ...environment }
    const outcome = await promisify(execFile)(process.execPath, args, { env, timeout: 60_000 }).catch(
      (failure: { readonly stdout: string; readonly stderr: string }) => failure
    )
    return outcome.stdout + outcome.stderr
  }

  it("prints the trace with source lines, and what repeats it", async () => {
    const first = await runVitest({})
    assert.match(first, /InterleavingError: \d+ schedules: Failure/)
    assert.match(first, /fiber 1 +\S*failing\.case\.ts:11:\d+ +\(\) => self\.ref\.current/)
    assert.match(first, /failing\.case\.ts:16:\d+/)
    // A passing test says how much was explored.
    assert.include(first, "1 schedule, exhaustive: no finding")
    const schedule = /INTERLEAVINGS_SCHEDULE=(\S+)/.exec(first)?.[1]
    assert.isDefined(schedule)
    const again = await runVitest({ INTERLEAVINGS_SCHEDULE: schedule! })
    assert.include(again, "InterleavingError: 1 schedule: Failure")
    assert.strictEqual(traceOf(again), traceOf(first))
  })
})

const traceOf = (output: string): string => output.slice(output.indexOf("The schedule"), output.indexOf("To repeat it"))

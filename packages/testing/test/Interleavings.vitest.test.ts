import * as Testing from "@effect-listener/testing/vitest"
import * as EffectVitest from "@effect/vitest"
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Vitest from "vitest"
import { races } from "./support/races.ts"

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

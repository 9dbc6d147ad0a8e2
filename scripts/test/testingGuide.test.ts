import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { combinations, events } from "../../packages/core/test/support/combinations.ts"

const guide = Fs.readFileSync(Path.resolve(import.meta.dirname, "../../docs/testing.md"), "utf8")
const number = new Intl.NumberFormat("en-US")

describe("docs/testing.md", () => {
  it("says how many combinations of how many events are explored", () => {
    const counts = `${Object.keys(events).length} events in ${combinations.length} combinations`
    const each = `a million in all, ${number.format(Math.ceil(1_000_000 / combinations.length))} of each`
    assert.include(guide, counts)
    assert.include(guide.replaceAll("\n", " "), each)
  })
})

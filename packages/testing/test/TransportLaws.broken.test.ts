import * as TransportLaws from "@effect-listener/testing/TransportLaws"
import { assert, describe, it } from "@effect/vitest"
import { Array, Effect } from "effect"
import { readFileSync } from "node:fs"
import { brokenTransports, sweepingWell } from "./support/brokenTransports.ts"

/** The checks of a law that begin so. */
const checksOf = (law: number, name: string) =>
  TransportLaws.checks.filter((check) => check.law === law && check.name.startsWith(name))

describe("TransportLaws", () => {
  describe("a broken transport breaks the law that names it", { concurrent: true }, () => {
    for (const { check, law, make, name } of brokenTransports) {
      it.live(`law ${law}: ${name}`, () =>
        Effect.gen(function*() {
          const [only, ...others] = checksOf(law, check)
          assert.deepStrictEqual(others, [])
          const error = yield* Effect.flip(only!.run(make, { timeout: 6000 }))
          assert.strictEqual(error.law, law)
        }))
    }
  })

  it("there are twenty of them and more, at least two for each law", () => {
    const laws = Array.groupBy(brokenTransports, (transport) => String(transport.law))
    assert.isAtLeast(brokenTransports.length, 20)
    assert.deepStrictEqual(Object.keys(laws), ["1", "2", "3", "4", "5", "6", "7"])
    for (const transports of Object.values(laws)) assert.isAtLeast(transports.length, 2)
  })

  it("docs/testing.md lists them all, and how many checks there are", () => {
    const guide = readFileSync(new URL("../../../docs/testing.md", import.meta.url), "utf8")
    const [, rows = ""] = guide.split("| law | a transport that | is found by |\n|---|---|---|\n")
    const listed = rows.slice(0, rows.indexOf("\n\n")).split("\n")
    assert.deepStrictEqual(listed, brokenTransports.map(({ check, law, name }) => `| ${law} | ${name} | ${check} |`))
    assert.include(guide, `${brokenTransports.length} transports are broken on purpose`)
    assert.include(guide, `seven laws in ${TransportLaws.checks.length} checks`)
  })

  TransportLaws.suite("one whose accept queue is swept turn by turn keeps them all", sweepingWell, { concurrent: true })
})

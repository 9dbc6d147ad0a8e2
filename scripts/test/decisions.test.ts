import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { decisionIndex, decisions } from "../decisions/index.ts"

const root = Path.resolve(import.meta.dirname, "../..")

describe("docs/decisions", () => {
  it("has an index that is whole: `pnpm reference` writes it", () => {
    assert.strictEqual(Fs.readFileSync(Path.join(root, "docs/decisions/README.md"), "utf8"), decisionIndex(root))
  })

  it("is numbered from 1 on, without gaps", () => {
    const numbers = decisions(root).map(({ number }) => number)
    assert.deepStrictEqual(numbers, Array.from(numbers, (_, index) => index + 1))
  })
})

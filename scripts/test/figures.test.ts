import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { count, pages, withFigures } from "../figures/inDocs.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const read = (file: string): string => Fs.readFileSync(file, "utf8")

describe("figures of the documentation", () => {
  it("are what the benchmarks found last: `pnpm reference` writes them", () => {
    for (const page of pages(root)) assert.strictEqual(read(page), withFigures(read(page)), page)
  })

  it.each(["A restart by SIGTERM", "What it costs"])(
    "docs/comparison.md, %s: every figure names where it is from",
    (title) => {
      const section = read(Path.join(root, "docs/comparison.md")).split("\n## ").find((one) => one.startsWith(title)) ??
        ""
      const rows = section.split("\n").filter((line) => line.startsWith("| ")).slice(1)
      assert.isAbove(rows.length, 5)
      for (const row of rows) {
        for (const cell of row.split("|").slice(2, -1)) assert.isAtLeast(count(cell), 1, row)
        // no figure beside them, but in what a row is called
        const others = row.split("|").slice(2).join("|").replace(/[\d.,]+<!--.*?-->/g, "")
        assert.notMatch(others, /\d/, row)
      }
    }
  )

  it("that name what no benchmark has found are an error", () => {
    assert.throws(() => withFigures("1<!-- accept / throughput / theirs -->"), /names nothing/)
    assert.throws(() => withFigures("1<!-- absent / throughput / ours -->"), /names nothing/)
  })
})

import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { decisionIndex, decisions } from "../decisions/index.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const read = (file: string): string => Fs.readFileSync(Path.join(root, file), "utf8")

/** Where decisions are referred to by their numbers. */
const referring = [
  "*.md",
  "docs/**/*.md",
  "packages/*/src/**/*.ts",
  "packages/*/test/**/*.ts",
  "packages/*/*.md",
  "benchmarks/**/*.{ts,md}",
  "scripts/**/*.ts",
  "examples/**/*.{ts,md}"
]

/** The numbers in "decision 25", "decisions 58 and 70", "decisions 1, 2 and 3". */
const numbersIn = (text: string): ReadonlyArray<number> =>
  Array.from(text.matchAll(/\bdecisions? (\d+(?:(?:, | and )\d+)*)/gi))
    .flatMap(([, numbers]) => numbers!.split(/, | and /).map(Number))

describe("docs/decisions", () => {
  const all = decisions(root)

  it("has an index that is whole: `pnpm reference` writes it", () => {
    assert.strictEqual(read("docs/decisions/README.md"), decisionIndex(root))
  })

  it("is numbered from 1 on, without gaps", () => {
    const numbers = all.map(({ number }) => number)
    assert.deepStrictEqual(numbers, Array.from(numbers, (_, index) => index + 1))
  })

  it("says of each its context, what was decided, and what follows, in this order", () => {
    const headings = (file: string) =>
      Array.from(
        read(`docs/decisions/${file}`).matchAll(/^\*\*(Context|Decision|Consequences)\.\*\*/gm),
        ([, name]) => name
      )
    const without = all.filter(({ file }) => headings(file).join() !== "Context,Decision,Consequences")
    assert.deepStrictEqual(without.map(({ file }) => file), [])
  })

  it("has every decision that is referred to by its number", () => {
    const files = Fs.globSync(referring, { cwd: root, exclude: (name) => name === "node_modules" })
    const numbers = new Set(all.map(({ number }) => number))
    const references = files.flatMap((file) => numbersIn(read(file)).map((number) => ({ file, number })))
    assert.isAbove(references.length, 10)
    assert.deepStrictEqual(references.filter(({ number }) => !numbers.has(number)), [])
  })

  it("has every decision that is linked to", () => {
    const files = Fs.globSync(referring, { cwd: root, exclude: (name) => name === "node_modules" })
    const present = new Set(all.map(({ file }) => file))
    const lost = files.flatMap((file) =>
      Array.from(read(file).matchAll(/decisions\/(\d{4}-[\w-]+\.md)/g), ([, linked]) => ({ file, linked }))
        .filter(({ linked }) => !present.has(linked!))
    )
    assert.deepStrictEqual(lost, [])
  })
})

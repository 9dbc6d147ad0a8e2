import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const read = (...path: ReadonlyArray<string>): string => Fs.readFileSync(Path.join(root, ...path), "utf8")

/** Every error with a schema: those that an operation of a user's can fail with. */
const tags = ["core", "node"].flatMap((name) => {
  const folder = Path.join("packages", name, "src")
  return Fs.readdirSync(Path.join(root, folder))
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => Array.from(read(folder, file).matchAll(/Schema\.TaggedError<(\w+)>/g), ([, tag = ""]) => tag))
})

describe("docs/errors", () => {
  it("there are such errors", () => {
    assert.isAtLeast(tags.length, 12)
  })

  it.each(tags)("%s has a page with cause and cure", (tag) => {
    const page = read("docs", "errors", `${tag}.md`)
    assert.match(page, new RegExp(`^# \`${tag}\`\n\n.+\n\n## Cause\n\n- [^#]+\n## Cure\n\n- [^#]+$`))
  })

  it("every page is about an error that there is, or will be", () => {
    const pages = Fs.readdirSync(Path.join(root, "docs", "errors")).map((file) => Path.basename(file, ".md"))
    assert.deepStrictEqual(pages.filter((page) => !tags.includes(page) && page !== "HandoverFailed"), [])
  })
})

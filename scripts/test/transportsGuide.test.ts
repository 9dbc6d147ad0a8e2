/**
 * The transport of docs/transports.md, as a reader would copy it: its suite of laws is registered here, and runs.
 */
import * as TransportLaws from "@effect-listener/testing/TransportLaws"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fromMarkdown } from "../docExamples/extract.ts"
import { temporaryFolder } from "../temporaryFolder.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const guide = Fs.readFileSync(Path.join(root, "docs/transports.md"), "utf8")
const code = fromMarkdown("transports.md", guide)[0]?.code ?? ""

const folder = temporaryFolder(root, "transportsGuide")
afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

const file = Path.join(folder, "transport.ts")
Fs.writeFileSync(file, code)
await import(file)

describe("docs/transports.md", () => {
  it("builds a transport in some sixty lines", () => {
    const transport = code.slice(code.indexOf("// --- the transport"), code.indexOf("// --- how the laws connect"))
    const lines = transport.split("\n").filter((line) => line.trim() !== "" && !/^\s*(\/\/|\/\*\*)/.test(line))
    assert.isAtLeast(lines.length, 50)
    assert.isBelow(lines.length, 70)
  })

  it("lists the laws and their checks", () => {
    const rows = Array.from(Map.groupBy(TransportLaws.checks, ({ law }) => law), ([law, checks]) => {
      const about = Array.from(new Set(checks.map(({ about }) => about)))
      return `| ${law} | ${checks[0]?.lawName} | ${checks.length} | ${about.join(", ")} |`
    })
    assert.include(guide, rows.join("\n"))
    assert.include(guide, `There are seven, in ${TransportLaws.checks.length} checks`)
  })
})

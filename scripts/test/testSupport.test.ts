import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { publicPackages } from "../publicModules.ts"

const root = Path.resolve(import.meta.dirname, "../..")

describe.each(publicPackages)("packages/%s/test/support", (name) => {
  it("has an index that names each file and folder, and nothing else", () => {
    const folder = Path.join(root, "packages", name, "test/support")
    const index = Fs.readFileSync(Path.join(folder, "README.md"), "utf8")
    const rows = index.split("\n").filter((line) => line.startsWith("| `")).map((line) => line.split("|")[1]!)
    const named = rows.flatMap((cell) => Array.from(cell.matchAll(/`([^`]+)`/g), ([, file]) => file!))
    const present = Fs.readdirSync(folder, { withFileTypes: true })
      .map((entry) => entry.isDirectory() ? `${entry.name}/` : entry.name)
      .filter((entry) => entry !== "README.md")
    assert.deepStrictEqual(named.toSorted(), present.toSorted())
  })
})

/**
 * The rules of the house that the tree itself can be asked for.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { publicPackages } from "../publicModules.ts"

const root = Path.resolve(import.meta.dirname, "../..")

/**
 * The folders of each package's `internal/`, in the order of the arrows: none
 * imports another of its row, or one of a later row.
 */
const rows: Record<(typeof publicPackages)[number], ReadonlyArray<ReadonlyArray<string>>> = {
  core: [
    ["util"],
    ["options", "transport"],
    ["telemetry"],
    ["accept"],
    ["connection"],
    ["lifecycle", "rpc"],
    ["datagrams"],
    ["host"]
  ],
  node: [
    ["platform"],
    ["proxyProtocol"],
    ["socket"],
    ["inherit"],
    ["listen"],
    ["tls", "datagrams"],
    ["http"],
    ["display", "reports"],
    ["handover", "inspector"],
    ["main", "workers"]
  ],
  testing: [["util"], ["memory", "interleavings"], ["clients", "faults", "laws"], ["datagramLaws"]]
}

interface Source {
  readonly file: string
  readonly lines: number
  /** The folder of `internal/` it lies in; `undefined` for a public module. */
  readonly folder: string | undefined
  readonly imports: ReadonlyArray<string>
}

const folderOf = (file: string): string | undefined => /\/internal\/([^/]+)\//.exec(file)?.[1]

const sources = (name: string): ReadonlyArray<Source> =>
  Fs.globSync(`packages/${name}/src/**/*.ts`, { cwd: root }).map((file) => {
    const text = Fs.readFileSync(Path.join(root, file), "utf8")
    return {
      file,
      lines: text.split("\n").length - 1,
      folder: folderOf(file),
      imports: Array.from(
        text.matchAll(/ from "(\.{1,2}\/[^"]+)"/g),
        ([, path]) => Path.join(Path.dirname(file), path!)
      )
    }
  })

describe.each(publicPackages)("packages/%s", (name) => {
  const all = sources(name)
  const rank = (folder: string): number => rows[name].findIndex((row) => row.includes(folder))

  it("has no folder that the rows do not name", () => {
    const folders = new Set(all.flatMap(({ folder }) => folder === undefined ? [] : [folder]))
    assert.deepStrictEqual(Array.from(folders).filter((folder) => rank(folder) < 0), [])
  })

  it("imports one way", () => {
    const against = all.flatMap(({ file, folder, imports }) =>
      folder === undefined ? [] : imports.filter((path) => {
        const other = folderOf(path)
        return other !== undefined && other !== folder && rank(other) >= rank(folder)
      }).map((path) => `${file} imports ${path}`)
    )
    assert.deepStrictEqual(against, [])
  })

  it("is drawn in docs/architecture.md as it is: each row in its place, and each folder of a folder below it", () => {
    const guide = Fs.readFileSync(Path.join(root, "docs/architecture.md"), "utf8")
    const [, tree = ""] = guide.split(`packages/${name}/src\n`)
    const drawn = tree.split(/\n\n|\n```/, 1)[0]!.split("  internal/\n")[1]!.split("\n").map((line) => {
      const [, indent = "", folders = ""] = /^( +)(\w+(?:, \w+)*) /.exec(line) ?? []
      return { depth: indent.length, folders: folders.split(", ") }
    })
    const inRows = drawn.filter(({ depth }) => depth === 4).map(({ folders }) => folders)
    assert.deepStrictEqual(inRows, rows[name])
    const below = new Set(all.flatMap(({ file }) => /\/internal\/\w+\/(\w+)\//.exec(file)?.[1] ?? []))
    const drawnBelow = drawn.filter(({ depth }) => depth === 6).flatMap(({ folders }) => folders)
    assert.deepStrictEqual(drawnBelow.toSorted(), Array.from(below).sort())
  })

  it("has no circle of folders beside each other", () => {
    const above = new Map<string, Set<string>>()
    for (const { file, imports } of all) {
      const folder = Path.dirname(file)
      for (const other of imports.map((path) => Path.dirname(path))) {
        // a folder and the folders in it are one room
        if (!`${folder}/`.startsWith(`${other}/`) && !`${other}/`.startsWith(`${folder}/`)) {
          above.set(folder, (above.get(folder) ?? new Set()).add(other))
        }
      }
    }
    const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
      Array.from(above.get(from) ?? []).some((next) =>
        next === to || (!seen.has(next) && reaches(next, to, seen.add(next)))
      )
    const circles = Array.from(above).flatMap(([folder, others]) =>
      Array.from(others).filter((other) => reaches(other, folder)).map((other) => `${folder}, ${other}`)
    )
    assert.deepStrictEqual(circles, [])
  })

  it("has no file of more than 450 lines", () => {
    const long = all.filter(({ lines }) => lines > 450)
    assert.deepStrictEqual(long.map(({ file, lines }) => `${file}: ${lines}`), [])
  })

  it("has no folder of more than 12 files", () => {
    const files = Map.groupBy(all, ({ file }) => Path.dirname(file))
    const large = Array.from(files).filter(([folder, { length }]) => folder.includes("/internal") && length > 12)
    assert.deepStrictEqual(large.map(([folder, { length }]) => `${folder}: ${length}`), [])
  })
})

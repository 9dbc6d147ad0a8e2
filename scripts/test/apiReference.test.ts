import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { generate } from "../apiReference/generate.ts"
import { readModule } from "../apiReference/read.ts"
import { renderModule } from "../apiReference/render.ts"

const root = Path.resolve(import.meta.dirname, "../..")

describe("docs/api", () => {
  it("says what the docstrings say: otherwise run `pnpm reference`", () => {
    const folder = Path.join(root, "docs/api")
    const pages = generate(root)
    const read = (page: string) => Fs.readFileSync(Path.join(folder, page), "utf8")
    const written = Fs.readdirSync(folder)
    assert.sameMembers(written, Array.from(pages.keys()))
    assert.deepStrictEqual(written.filter((page) => read(page) !== pages.get(page)), [])
  })

  it("shows an import that works, on each page", async () => {
    for (const page of generate(root).values()) {
      const [, name, specifier = ""] = /^import (?:\{ (\w+) \}|\* as \w+) from "(.+)"$/m.exec(page) ?? []
      const module: object = specifier === "" ? {} : await import(/* @vite-ignore */ specifier)
      assert.isTrue(name === undefined || name in module, `${name} of ${specifier}`)
    }
  })
})

const tags = "@stability experimental\n * @category models\n * @since 0.1.0\n */"

const internal = [
  `/**\n * B.\n * ${tags}\nexport interface B {}`,
  `/**\n * C.\n * ${tags}\nexport const C = 1`,
  `/**\n * The type.\n * ${tags}\nexport type C = 1`,
  "export const other = 2"
].join("\n")

const readFile = (file: string): string => {
  assert.strictEqual(file, "internal/b.ts")
  return internal
}

const read = (...declarations: ReadonlyArray<string>) =>
  readModule("A.ts", ["/** A. */", "import \"b\"", ...declarations].join("\n"), readFile)

const signature = (declaration: string) => read(`/** B.\n * ${tags}\nexport ${declaration}`).exports[0]?.signature

describe("readModule", () => {
  const signatures = {
    "an annotated constant": ["const b: number = 1", "const b: number"],
    "a constant without a type": ["const b = Schema.Literals([\"c\"])", "const b = Schema.Literals([\"c\"])"],
    "an arrow function": ["const b = (c: string, d: E = {}): void => {}", "const b: (c: string, d?: E) => void"],
    "a curried function": ["const b = <A>(a: A) => (b: string): A => a", "const b: <A>(a: A) => (b: string) => A"],
    "a function": ["function b(c: string): void { c() }", "function b(c: string): void"],
    "a type": ["type B = { a: string }", "type B = { a: string }"],
    "a namespace": ["namespace B { type A = 1 }", "namespace B { type A = 1 }"],
    "an empty class": ["class B extends C<B>()(\"B\") {}", "class B extends C<B>()(\"B\")"],
    "overloads": [
      "const b: {\n  /** Once. */\n  (c: string): void\n  /** Again. */\n  (d: number): void\n} = dual()",
      "const b: {\n  (c: string): void\n  (d: number): void\n}"
    ],
    "an interface": [
      "interface B {\n  /** C. */\n  c: string\n  /** @internal */\n  d: number\n  e: F\n}",
      "interface B {\n  /** C. */\n  c: string\n  e: F\n}"
    ],
    "a class": [
      "class B {\n  #c = 1\n  private d = 2\n  /** E. */\n  readonly e: string = \"f\"\n"
      + "  override get g(): string { return 1 }\n  h(): number { return 1 }\n}",
      "class B {\n  /** E. */\n  readonly e: string\n  h(): number\n}"
    ]
  } as const

  it.for(Object.entries(signatures))("reads the signature of %s", ([, [declaration, expected]]) => {
    assert.strictEqual(signature(declaration), expected)
  })

  it("breaks long signatures", () => {
    const long = "readonly aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: string"
    assert.strictEqual(
      signature(`const b = (c: { ${long} }, d: { ${long} }): void => {}`),
      `const b: (\n  c: { ${long} },\n  d: { ${long} }\n) => void`
    )
  })

  it("leaves out what is internal", () => {
    assert.deepStrictEqual(read("/** @internal */", "export const b = 1", "const c = 2").exports, [])
  })

  it("reads what is exported from another file there", () => {
    const { exports } = read("export type { B } from \"./internal/b.ts\"", "export { C } from \"./internal/b.ts\"")
    assert.deepStrictEqual(exports.map(({ doc, kind, name }) => [name, kind, doc.text]), [
      ["B", "interface", "B."],
      ["C", "constant", "C."],
      ["C", "type", "The type."]
    ])
  })

  it("splits docstrings into text and tags", () => {
    const { exports } = read(
      `/**\n * B.\n *\n *     code\n *\n * @see {@link c}\n *   for more\n * @see d\n * ${tags}`,
      "export type B = 1"
    )
    assert.strictEqual(exports[0]?.doc.text, "B.\n\n    code")
    assert.deepStrictEqual(exports[0]?.doc.tags.get("see"), ["{@link c}   for more", "d"])
    assert.deepStrictEqual(exports[0]?.doc.tags.get("since"), ["0.1.0"])
  })

  const refused = {
    "an export without a docstring": ["export const b: number = 1", /^A\.ts:3: b has no docstring$/],
    "a missing tag": ["/** B. */\nexport const b: number = 1", /^A\.ts:4: b has no @stability$/],
    "an inferred result": [
      `/**\n * ${tags}\nexport const b = () => 1`,
      /^A\.ts:8: an exported function states what it returns$/
    ],
    "an inferred parameter": [
      `/**\n * ${tags}\nexport const b = (c = 1): void => {}`,
      /^A\.ts:8: an exported function states what it takes$/
    ],
    "a star": ["export * from \"c\"", /^A\.ts:3: export each thing by its own name$/],
    "another name than that it is declared by": [
      "export { C as D } from \"./internal/b.ts\"",
      /^internal\/b\.ts: D is not declared here$/
    ],
    "a list": ["const b = 1\nexport { b }", /^A\.ts:4: declare it where it is exported$/]
  } as const

  it.for(Object.entries(refused))("refuses %s", ([, [declaration, message]]) => {
    assert.throws(() => read(declaration), message)
  })

  it("refuses a module without a docstring", () => {
    assert.throws(
      () => readModule("A.ts", "export const b: number = 1", readFile),
      /^A\.ts: the module has no docstring$/
    )
  })
})

describe("renderModule", () => {
  it("groups by category, and a value with the type of its name", () => {
    const text = [
      "/** A. @see {@link b}\n * @since 0.1.0\n */",
      `/** The schema.\n * @category schemas\n * @stability stable\n * @since 0.2.0\n * @see {@link c} too\n */\nexport const B = 1`,
      `/** Another.\n * ${tags}\nexport type C = 1`,
      `/** The type.\n * @category models\n * @stability experimental\n * @since 0.1.0\n */\nexport type B = 1`
    ].join("\n")
    const module = readModule("A.ts", text, readFile)
    const page = renderModule({
      package: "core",
      packageName: "@effect-listener/core",
      name: "A",
      file: "A.ts",
      indexed: true,
      ...module
    })
    assert.deepStrictEqual(page.split("\n").filter((line) => line.startsWith("#")), [
      "# A",
      "## schemas",
      "### B",
      "## models",
      "### C"
    ])
    assert.include(
      page,
      "The schema.\n\nSee also `c` too\n\n*Stable, since 0.2.0*\n\n```ts\ntype B = 1\n```\n\nThe type."
    )
  })
})

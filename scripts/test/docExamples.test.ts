/**
 * Every example of the documentation is a test: its types are right, it ends by itself, and prints what it says.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { expectations, fromMarkdown, fromTypeScript } from "../docExamples/extract.ts"
import { check } from "../docExamples/run.ts"
import { temporaryFolder } from "../temporaryFolder.ts"

const root = Path.resolve(import.meta.dirname, "../..")

const read = (file: string): string => Fs.readFileSync(Path.join(root, file), "utf8")

// the API reference repeats the docstrings
const documents = Fs.globSync(["README.md", "{docs,packages,examples,benchmarks}/**/*.md"], {
  cwd: root,
  exclude: ["**/node_modules", "docs/api"]
})

const examples = [
  ...Fs.globSync("packages/*/src/**/*.ts", { cwd: root }).sort().flatMap((file) => fromTypeScript(file, read(file))),
  ...documents.sort().flatMap((file) => fromMarkdown(file, read(file)))
]

const withFolder = async <A>(use: (folder: string) => Promise<A>): Promise<A> => {
  const folder = temporaryFolder(root, "docExamples")
  try {
    return await use(folder)
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}

describe("the documentation's examples", () => {
  let problems: ReadonlyArray<string | undefined>

  beforeAll(async () => {
    problems = await withFolder((folder) => check(examples, { root, folder, timeout: 120_000 }))
  }, 600_000)

  it.for(examples.map((example, index) => [`${example.file}:${example.line}`, index] as const))(
    "%s",
    ([, index]) => {
      const problem = problems[index]
      assert.strictEqual(problem ?? "", "")
    }
  )
})

describe("check", () => {
  let problems: ReadonlyArray<string | undefined>

  const cases = {
    right: "console.log(1 + 1, { a: 1 }) // => 2 { a: 1 }\n\nconsole.log(\"a\\nb\")\n// => a\n// => b",
    anyText: "console.log(`took ${performance.now()} ms`) // => took … ms",
    silent: "console.log(1)",
    wrongType: "const x: string = 1",
    wrongValue: "console.log(1) // => 2",
    tooLittle: "// => 1",
    tooMuch: "console.log(1) // => 1\nconsole.log(2)",
    wrongOrder: "console.log(2)\nconsole.log(1)\n// => 1\n// => 2",
    throws: "throw new Error(\"no\")",
    rejects: "void Promise.reject(new Error(\"later\"))",
    stuck: "await new Promise(() => {})",
    exits: "process.exit(3)",
    exitsWell: "console.log(1) // => 1\nprocess.exit(0)",
    exitCode: "process.exitCode = 2",
    late: "setTimeout(() => console.log(1), 50) // => 1",
    packages:
      `import { Listener } from "@effect-listener/core"\nconsole.log(typeof Listener.isListener) // => function`,
    logs: `import { Effect } from "effect"\nEffect.runSync(Effect.log("x"))\nconsole.log(1) // => 1`
  }

  const problem = (name: keyof typeof cases) => problems[Object.keys(cases).indexOf(name)]

  const checked = (cases: Record<string, string>, timeout: number) => {
    const examples = Object.entries(cases).map(([file, code]) => ({ file, line: 10, code, noRun: undefined }))
    return withFolder((folder) => check(examples, { root, folder, timeout }))
  }

  beforeAll(async () => {
    problems = await checked(cases, 120_000)
  })

  it.for(["right", "anyText", "silent", "exitsWell", "late", "packages", "logs"] as const)("accepts: %s", (name) => {
    assert.isUndefined(problem(name))
  })

  it.for(
    [
      ["wrongType", /^\(10,7\): error TS2322/],
      ["wrongValue", /says that it prints\n {2}2\nbut it prints\n {2}1$/],
      ["tooLittle", /says that it prints\n {2}1\nbut it prints/],
      ["tooMuch", /says that it prints\n {2}1\nbut it prints\n {2}1\n {2}2$/],
      ["wrongOrder", /says that it prints/],
      ["throws", /^failed with Error: no\n.*throws\.10\.ts:10:7/],
      ["rejects", /^failed with Error: later/],
      ["stuck", /^ended while a top-level await was waiting$/],
      ["exits", /^ended with exit code 3$/],
      ["exitCode", /^ended with exit code 2$/]
    ] as const
  )("refuses: %s", ([name, message]) => {
    assert.match(problem(name) ?? "", message)
  })

  it("refuses one that waits for ever", async () => {
    assert.deepStrictEqual(await checked({ waits: "setInterval(() => {}, 1000)" }, 2000), [
      "did not end by itself within 2 s"
    ])
  })
})

describe("fromMarkdown", () => {
  it("finds ts blocks and their lines", () => {
    const text = "# A\n\n```ts\nconst a = 1\n```\n\n```sh\nnpm\n```\n\n- b\n\n  ```ts\n  const b = 1\n    \n  ```\n"
    assert.deepStrictEqual(fromMarkdown("a.md", text), [
      { file: "a.md", line: 4, code: "const a = 1", noRun: undefined },
      { file: "a.md", line: 14, code: "const b = 1\n  ", noRun: undefined }
    ])
  })

  it("does not look into other blocks", () => {
    assert.deepStrictEqual(fromMarkdown("a.md", "````md\n```ts\nconst a = 1\n```\n````\n"), [])
  })

  it("reads the reason not to run", () => {
    const [example] = fromMarkdown("a.md", "```ts no-run: needs two terminals\nconst a = 1\n```\n")
    assert.strictEqual(example?.noRun, "needs two terminals")
    assert.throws(() => fromMarkdown("a.md", "```ts no-run\n```\n"), /a\.md:1: write "no-run: <reason>"/)
  })

  it("refuses a block without an end", () => {
    assert.throws(() => fromMarkdown("a.md", "text\n```ts\nconst a = 1\n"), /a\.md:2: this code block has no end/)
  })
})

describe("fromTypeScript", () => {
  it("finds blocks in docstrings only", () => {
    const text = [
      "const a = \"/** not a comment */\" // /** neither",
      "/* ```ts",
      " * no",
      " * ``` */",
      "/**",
      " * B.",
      " *",
      " * ```ts",
      " * if (a) {",
      " *   b()",
      " * }",
      " * ```",
      " */",
      "export const b = 1"
    ].join("\n")
    assert.deepStrictEqual(fromTypeScript("a.ts", text), [
      { file: "a.ts", line: 9, code: "if (a) {\n  b()\n}", noRun: undefined }
    ])
  })
})

describe("expectations", () => {
  it("are comments, not text", () => {
    const code = "console.log(\"// => 1\") // => // => 1\n// then\n//=> 2"
    assert.deepStrictEqual(expectations({ file: "a.md", line: 1, code, noRun: undefined }), ["// => 1", "2"])
  })
})

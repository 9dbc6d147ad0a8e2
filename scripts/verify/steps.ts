/**
 * What `verify` runs, in the order of its groups; the steps of one group run at the same time.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { Step } from "./run.ts"

const minutes = (n: number): number => n * 60_000

const packages = ["core", "node", "testing"]

/** What oxlint does not know: Effects nobody runs, defects of generators. */
const effectDiagnostics = (project: string, ...options: ReadonlyArray<string>) =>
  ["effect-tsgo", "diagnostics", "--project", project, "--format", "text", ...options] as const

/** The checks that count as one each. Types come first and alone: the build they make is what others read. */
export const checks: ReadonlyArray<ReadonlyArray<Step>> = [
  [{ name: "types", commands: [["tsc", "-b"]], timeout: minutes(5) }],
  [
    {
      name: "lint",
      commands: [
        ["oxlint"],
        ...packages.map((name) => effectDiagnostics(`packages/${name}/tsconfig.src.json`, "--strict")),
        // tests and examples may fail with a global Error or call console
        ...[...packages.map((name) => `packages/${name}/tsconfig.test.json`), "examples/tsconfig.json"]
          .map((project) => effectDiagnostics(project, "--severity", "error"))
      ],
      timeout: minutes(5)
    },
    { name: "format", commands: [["dprint", "check"]], timeout: minutes(3) }
  ],
  [
    { name: "knip", commands: [["knip"]], timeout: minutes(3) },
    {
      name: "publint",
      commands: packages.map((name) => ["publint", "run", `packages/${name}`, "--pack", "pnpm", "--strict"] as const),
      timeout: minutes(3)
    }
  ]
]

/** Alone: timing-sensitive tests share the machine with nothing of ours. */
export const tests = (results: string, onOutput: (text: string) => void): Step => ({
  name: "tests",
  commands: [[
    "vitest",
    "run",
    "--reporter=default",
    "--reporter=./scripts/verify/testReporter.ts",
    // a test left focused would hide all others
    "--allowOnly=false",
    "--silent=passed-only"
  ]],
  timeout: minutes(40),
  env: { VERIFY_TESTS: results },
  onOutput
})

/** A new folder for what is derived, ignored by git and inside the workspace, so that its packages resolve from there. */
export const temporaryFolder = (root: string, name: string): string => {
  Fs.mkdirSync(Path.join(root, ".tmp"), { recursive: true })
  return Fs.mkdtempSync(Path.join(root, ".tmp", `${name}-`))
}

/**
 * What `verify` runs, in the order of its groups; the steps of one group run at the same time.
 */
import { publicPackages } from "../publicModules.ts"
import type { Step } from "./run.ts"

const minutes = (n: number): number => n * 60_000

/** What oxlint does not know, such as an Effect that nobody runs. */
const effectDiagnostics = (project: string, ...options: ReadonlyArray<string>) =>
  ["effect-tsgo", "diagnostics", "--project", project, "--format", "text", ...options] as const

const sources = publicPackages.map((name) => `packages/${name}/tsconfig.src.json`)

/** Code that uses the packages, and may call `console` or fail with a global `Error`: warnings elsewhere. */
const users = [
  ...publicPackages.map((name) => `packages/${name}/tsconfig.test.json`),
  "examples/tsconfig.json",
  "benchmarks/tsconfig.json"
]

/** The checks that count as one each. Types come first and alone: the build they make is what others read. */
export const checks: ReadonlyArray<ReadonlyArray<Step>> = [
  [{ name: "types", commands: [["tsc", "-b"]], timeout: minutes(5) }],
  [
    {
      name: "lint",
      commands: [
        ["oxlint"],
        ...sources.map((project) => effectDiagnostics(project, "--strict", "--severity", "error,warning")),
        ...users.map((project) => effectDiagnostics(project, "--severity", "error"))
      ],
      timeout: minutes(5)
    },
    { name: "format", commands: [["dprint", "check"]], timeout: minutes(3) }
  ],
  [
    { name: "knip", commands: [["knip"]], timeout: minutes(3) },
    {
      name: "publint",
      commands: [
        ["node", "scripts/bundle.ts"],
        ...publicPackages.map((name) => ["publint", "run", `packages/${name}`, "--pack", "pnpm", "--strict"] as const)
      ],
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

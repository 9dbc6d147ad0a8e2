/**
 * What `verify` runs, in the order of its groups; the steps of one group run at the same time.
 */
import { publicPackages } from "../publicModules.ts"
import type { Step } from "./run.ts"

const minutes = (n: number): number => n * 60_000

/** What oxlint does not know, such as an Effect that is not run. */
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
    { name: "lint", commands: [["oxlint"]], timeout: minutes(5) },
    {
      name: "effects in sources",
      commands: sources.map((project) => effectDiagnostics(project, "--strict", "--severity", "error,warning")),
      timeout: minutes(5)
    },
    {
      name: "effects in what uses them",
      commands: users.map((project) => effectDiagnostics(project, "--severity", "error")),
      timeout: minutes(5)
    },
    { name: "format", commands: [["dprint", "check"]], timeout: minutes(3) },
    { name: "knip", commands: [["knip"]], timeout: minutes(5) },
    {
      name: "publint",
      commands: [
        ["node", "scripts/bundle.ts"],
        ...publicPackages.map((name) => ["publint", "run", `packages/${name}`, "--pack", "pnpm", "--strict"] as const)
      ],
      timeout: minutes(5)
    }
  ]
]

/** A run of test projects by one Node. */
export interface TestRun {
  readonly name: string
  readonly projects: ReadonlyArray<"virtual" | "scripts" | "sockets" | "load" | "long">
  /** Milliseconds for the whole run. */
  readonly timeout: number
  /** The version of the Node that runs it, or a part of it; without it, the one that runs this. */
  readonly node?: string | undefined
}

/** What `npm test` runs. */
export const shortTests: ReadonlyArray<TestRun> = [
  { name: "tests", projects: ["virtual", "scripts", "sockets", "load"], timeout: minutes(25) }
]

/** What `npm run test:nodes` runs: sockets and laws on the other Nodes that are promised. */
export const nodeTests: ReadonlyArray<TestRun> = [
  // the oldest that packages/core and packages/node promise (`engines`), and the newest
  { name: "tests on Node 22", projects: ["virtual"], timeout: minutes(15), node: "22.19" },
  { name: "tests on Node 24.16", projects: ["sockets"], timeout: minutes(15), node: "24.16" },
  { name: "tests on Node 26", projects: ["virtual", "sockets"], timeout: minutes(15), node: "26" }
]

/** What `npm run test:long` runs: whole grids and repetitions, then the other Nodes. */
export const longTests: ReadonlyArray<TestRun> = [
  { name: "long tests", projects: ["long"], timeout: minutes(45) },
  ...nodeTests
]

/** Fetches a Node, or fails in time where it cannot be had. */
export const nodeStep = (version: string): Step => ({
  name: `Node ${version} from the registry`,
  commands: [[...nodeCommand(version), "--version"]],
  timeout: minutes(5)
})

export const testStep = (testRun: TestRun, results: string, onOutput: (text: string) => void): Step => ({
  name: testRun.name,
  commands: [[
    ...nodeCommand(testRun.node),
    "node_modules/vitest/vitest.mjs",
    "run",
    ...testRun.projects.map((project) => `--project=${project}`),
    "--reporter=default",
    "--reporter=./scripts/verify/testReporter.ts",
    // a test left focused would hide all others
    "--allowOnly=false",
    "--silent=passed-only"
  ]],
  timeout: testRun.timeout,
  env: { VERIFY_TESTS: results },
  onOutput
})

const nodeCommand = (version: string | undefined): readonly [string, ...ReadonlyArray<string>] =>
  version === undefined ? [process.execPath] : ["npx", "-y", "-p", `node@${version}`, "--", "node"]

import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { temporaryFolder } from "../temporaryFolder.ts"
import { unavailable } from "../verify/postgres.ts"
import type { Outcome, Step } from "../verify/run.ts"
import { run } from "../verify/run.ts"
import { summarize } from "../verify/summary.ts"
import type { Tests } from "../verify/testReporter.ts"
import { find, missing, tools } from "../verify/tools.ts"

const root = Path.resolve(import.meta.dirname, "../..")

const node = (code: string): Step["commands"][number] => [process.execPath, "-e", code]

const outcome = (name: string, failure?: string): Outcome => ({ name, failure, output: "", milliseconds: 1 })

const tests = (counts: Partial<Tests>, failure?: string): Tests & { readonly run: Outcome } => ({
  passed: 0,
  failed: [],
  notRun: [],
  complete: true,
  files: [],
  ...counts,
  run: outcome("tests", failure)
})

const lastLine = (summary: { readonly lines: ReadonlyArray<string> }) => summary.lines.at(-1)

describe("summarize", () => {
  it("counts each test and each check as one", () => {
    const summary = summarize({
      checks: [outcome("types"), outcome("lint")],
      tests: [tests({ passed: 7 })],
      full: false
    })
    assert.deepStrictEqual(summary, { lines: ["9 passed, 0 failed"], exitCode: 0 })
  })

  it("names what failed", () => {
    const summary = summarize({
      checks: [outcome("types"), outcome("lint", "exit code 1: oxlint")],
      tests: [tests({ passed: 7, failed: ["a.test.ts > x"] }, "exit code 1: vitest run")],
      full: false
    })
    assert.deepStrictEqual(summary, {
      lines: ["failed: lint: exit code 1: oxlint", "failed: a.test.ts > x", "8 passed, 2 failed"],
      exitCode: 1
    })
  })

  it("fails when no test ran", () => {
    const summary = summarize({ checks: [outcome("types")], tests: [tests({})], full: false })
    assert.strictEqual(lastLine(summary), "1 passed, 1 failed")
    assert.strictEqual(summary.exitCode, 1)
  })

  it("fails when the test runner failed though every test passed", () => {
    const summary = summarize({ checks: [], tests: [tests({ passed: 3 }, "exit code 1: vitest run")], full: false })
    assert.deepStrictEqual(summary.lines, ["failed: tests: exit code 1: vitest run", "3 passed, 1 failed"])
  })

  it("fails when the run was cut off, and says why", () => {
    const summary = summarize({
      checks: [],
      tests: [tests({ passed: 3, complete: false, failed: ["a"] }, "no end after 5 s, stopped: vitest run")],
      full: false
    })
    assert.include(summary.lines, "failed: tests: not all ran: no end after 5 s, stopped: vitest run")
    assert.strictEqual(lastLine(summary), "3 passed, 2 failed")
  })

  it("adds up several runs, and names the run of what failed", () => {
    const other = tests({ passed: 2, failed: ["a"] }, "exit code 1: vitest run")
    const summary = summarize({
      checks: [],
      tests: [tests({ passed: 3 }), { ...other, run: outcome("tests on Node 26", "exit code 1: vitest run") }],
      full: false
    })
    assert.deepStrictEqual(summary.lines, ["failed: tests on Node 26: a", "5 passed, 1 failed"])
  })

  it("names the ten slowest files", () => {
    const files = Array.from({ length: 12 }, (_, index) => ({ file: `${index}.test.ts`, milliseconds: index * 1000 }))
    const { lines } = summarize({ checks: [], tests: [tests({ passed: 1, files })], full: false })
    assert.deepStrictEqual(lines.slice(0, 2), ["slowest: 11.0 s  11.test.ts", "slowest: 10.0 s  10.test.ts"])
    assert.strictEqual(lines.length, 11)
  })

  it("shows what was not run, and fails on it when full", () => {
    const input = { checks: [], tests: [tests({ passed: 1, notRun: [{ name: "a > b", reason: "needs wrk" }] })] }
    assert.deepStrictEqual(summarize({ ...input, full: false }), {
      lines: ["not run: a > b: needs wrk", "1 passed, 0 failed"],
      exitCode: 0
    })
    assert.deepStrictEqual(summarize({ ...input, full: true }), {
      lines: ["failed: a > b: needs wrk", "1 passed, 1 failed"],
      exitCode: 1
    })
  })
})

describe("run", () => {
  it("keeps the output and runs every command", async () => {
    const step: Step = {
      name: "three",
      commands: [node("console.log(1)"), node("console.error(2); process.exit(3)"), node("console.log(3)")],
      timeout: 120_000
    }
    const result = await run(step, root)
    assert.strictEqual(result.output, "1\n2\n3\n")
    assert.match(result.failure ?? "", /^exit code 3: /)
  })

  it("fails when a command cannot start", async () => {
    const result = await run({ name: "x", commands: [["no-such-program"]], timeout: 120_000 }, root)
    assert.match(result.failure ?? "", /^could not start .*ENOENT.*: no-such-program$/)
  })

  it("stops a command that does not end, with what it started", async () => {
    // a grandchild that keeps the pipe open: without the whole group being ended, `run` would wait for it
    const code = `
      const child = require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" })
      console.log(child.pid)
      setInterval(() => {}, 1000)`
    const result = await run({ name: "x", commands: [node(code), node("")], timeout: 5000 }, root)
    assert.match(result.failure ?? "", /^no end after 5 s, stopped: /)
    await gone(Number(result.output))
  })

  it("ends what a command leaves behind", async () => {
    const code = `
      const child = require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" })
      console.log(child.pid)
      child.unref()`
    const result = await run({ name: "x", commands: [node(code)], timeout: 120_000 }, root)
    assert.isUndefined(result.failure)
    await gone(Number(result.output))
  })
})

/** Waits until a killed process has ended; it stays listed as a zombie until its new parent has read its end. */
const gone = async (pid: number): Promise<void> => {
  assert.isAbove(pid, 0)
  const stat = `/proc/${pid}/stat`
  const deadline = performance.now() + 5000
  while (Fs.existsSync(stat) && !/\) [ZX] /.test(Fs.readFileSync(stat, "utf8"))) {
    assert.isBelow(performance.now(), deadline, `process ${pid} still runs`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

describe("tools", () => {
  it("finds a program on the PATH", () => {
    const tool = { name: "node", description: "", executables: ["no-such-program", Path.basename(process.execPath)] }
    assert.strictEqual(find(tool, Path.dirname(process.execPath)), process.execPath)
    assert.isUndefined(find(tool, ""))
  })

  it("says what is missing", () => {
    assert.isUndefined(missing([], ""))
    assert.strictEqual(missing(["curl", "wrk"], ""), "needs curl and wrk, not found on the PATH")
    assert.match(
      missing(tools.map((tool) => tool.name), "") ?? "",
      /^needs chromium and curl and .* and wrk, not found on the PATH$/
    )
  })

  it("says why there is no PostgreSQL, to the tests that need it", () => {
    const reason = unavailable("plan9-vax")
    assert.strictEqual(reason, "npm brings no PostgreSQL for this platform")
    assert.strictEqual(missing(["postgres"], "", reason), reason)
    assert.strictEqual(missing(["curl", "postgres"], "", reason), `needs curl, not found on the PATH; ${reason}`)
    assert.isUndefined(missing([], "", reason))
  })
})

describe("testReporter", () => {
  it("counts passed and failed tests, and tells explained skips from others", async () => {
    const folder = temporaryFolder(root, "reporter")
    try {
      const verify = Path.join(root, "scripts/verify")
      Fs.writeFileSync(
        Path.join(folder, "vitest.config.ts"),
        `import { defineConfig } from "vitest/config"
        import { tags } from ${JSON.stringify(Path.join(verify, "tools.ts"))}
        export default defineConfig({ test: { include: ["*.test.ts"], tags } })`
      )
      Fs.writeFileSync(
        Path.join(folder, "a.test.ts"),
        `import { beforeAll, describe, it } from "vitest"
        it("passes", () => {})
        it("fails", () => { throw new Error("no") })
        it("needs", { tags: ["wrk"] }, () => {})
        it.skip("skips", () => {})
        it("explains", (context) => context.skip("no IPv6"))
        describe("broken", () => {
          beforeAll(() => { throw new Error("no") })
          describe("deep", () => { it("inside", () => {}) })
        })`
      )
      Fs.writeFileSync(Path.join(folder, "b.test.ts"), `throw new Error("cannot be loaded")`)
      const file = Path.join(folder, "tests.json")
      const step: Step = {
        name: "tests",
        commands: [[
          process.execPath,
          Path.join(root, "node_modules/vitest/vitest.mjs"),
          "run",
          "--root",
          folder,
          "--reporter",
          Path.join(verify, "testReporter.ts")
        ]],
        timeout: 120_000,
        // on an empty PATH no tool is found, whatever this machine has
        env: { VERIFY_TESTS: file, PATH: "" }
      }
      const outcome = await run(step, root)
      assert.match(outcome.failure ?? "", /^exit code 1/)
      const { files, ...counted }: Tests = JSON.parse(Fs.readFileSync(file, "utf8"))
      assert.deepStrictEqual(files.map(({ file }) => file).sort(), ["a.test.ts", "b.test.ts"])
      assert.deepStrictEqual(counted, {
        passed: 1,
        failed: [
          "a.test.ts > fails",
          "a.test.ts > skips: skipped without a reason",
          "a.test.ts > broken > deep > inside: its set-up failed",
          "b.test.ts: failed outside its tests"
        ],
        notRun: [
          { name: "a.test.ts > needs", reason: "needs wrk, not found on the PATH" },
          { name: "a.test.ts > explains", reason: "no IPv6" }
        ],
        complete: true
      })
    } finally {
      Fs.rmSync(folder, { recursive: true, force: true })
    }
  })
})

import { assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"

/** One of each kind; `bench.long.test.ts` runs all. */
const names = ["echo", "datagrams", "close", "growth"]

const program = Path.join(import.meta.dirname, "..", "main.ts")

describe("the benchmarks", () => {
  it("run, and each measures something", async () => {
    // dozens of processes load the same modules
    const cache = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-listener-bench-"))
    try {
      const { stdout } = await promisify(ChildProcess.execFile)(process.execPath, [program, ...names, "--smoke"], {
        env: { ...process.env, NODE_COMPILE_CACHE: cache },
        timeout: 300_000
      })
      const run = stdout.matchAll(/^(\w+): .*\n  .* ratio to .*\n.* [\d.,]+ –/gm)
      assert.deepStrictEqual(new Set(Array.from(run, ([, name]) => name)), new Set(names))
    } finally {
      Fs.rmSync(cache, { recursive: true })
    }
  }, 320_000)
})

import { assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"

const program = Path.join(import.meta.dirname, "..", "main.ts")

describe("the benchmarks", () => {
  it("all run, and each measures something", async () => {
    // dozens of processes load the same modules
    const cache = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-listener-bench-"))
    try {
      const { stdout } = await promisify(ChildProcess.execFile)(process.execPath, [program, "--smoke"], {
        env: { ...process.env, NODE_COMPILE_CACHE: cache },
        timeout: 300_000
      })
      const run = stdout.matchAll(/^(\w+): .*\n  .* ratio to .*\n.* [\d.,]+ –/gm)
      const names =
        "accept echo http tls http2 pipeline upload download datagrams idle close stall restart handover latency start weight cores workers growth waiters"
      assert.deepStrictEqual(new Set(Array.from(run, ([, name]) => name)), new Set(names.split(" ")))
    } finally {
      Fs.rmSync(cache, { recursive: true })
    }
  }, 320_000)
})

/** Benchmarks as small as they can be: their figures mean nothing, but each has some. */
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import { promisify } from "node:util"

const program = Path.join(import.meta.dirname, "..", "main.ts")

/** Runs those that are named, all where none is, and answers which of them measured something. */
export const smoke = async (...names: ReadonlyArray<string>): Promise<ReadonlySet<string>> => {
  const { stdout } = await promisify(ChildProcess.execFile)(process.execPath, [program, ...names, "--smoke"], {
    timeout: 300_000
  })
  const run = stdout.matchAll(/^(\w+): .*\n  .* ratio to .*\n.* [\d.,]+ –/gm)
  return new Set(Array.from(run, ([, name = ""]) => name))
}

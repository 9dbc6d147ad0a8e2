/**
 * Removes what is built or derived: the remedy when `tsc -b` keeps reporting errors that are gone.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "..")
const derived = [".tmp", "{packages/*,examples,benchmarks,scripts}/{dist,.tsbuildinfo}"]

for (const path of Fs.globSync(derived, { cwd: root })) {
  Fs.rmSync(Path.join(root, path), { recursive: true })
  console.log(`removed ${path}`)
}

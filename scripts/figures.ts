/**
 * Writes the figures of the documentation as the benchmarks have found them last: a part of `pnpm reference`.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { pages, withFigures } from "./figures/inDocs.ts"

for (const page of pages(Path.resolve(import.meta.dirname, ".."))) {
  const text = Fs.readFileSync(page, "utf8")
  const current = withFigures(text)
  if (current !== text) Fs.writeFileSync(page, current)
}

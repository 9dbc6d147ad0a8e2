/**
 * Writes the API reference, `docs/api/*.md`, from the docstrings of the public modules.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { generate } from "./apiReference/generate.ts"

const root = Path.resolve(import.meta.dirname, "..")
const folder = Path.join(root, "docs", "api")

Fs.rmSync(folder, { recursive: true, force: true })
Fs.mkdirSync(folder, { recursive: true })
for (const [page, text] of generate(root)) Fs.writeFileSync(Path.join(folder, page), text)

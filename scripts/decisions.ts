/**
 * Writes docs/decisions/README.md, the index of the decisions: a part of `pnpm reference`.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { decisionIndex } from "./decisions/index.ts"

const root = Path.resolve(import.meta.dirname, "..")
Fs.writeFileSync(Path.join(root, "docs/decisions/README.md"), decisionIndex(root))

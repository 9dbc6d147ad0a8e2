/**
 * The whole API reference: file names in `docs/api` and their content.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { publicModules } from "../publicModules.ts"
import { readModule } from "./read.ts"
import { renderIndex, renderModule } from "./render.ts"

export const generate = (root: string): ReadonlyMap<string, string> => {
  const readFile = (file: string): string => Fs.readFileSync(Path.join(root, file), "utf8")
  const modules = publicModules(root).map((module) => ({
    ...module,
    ...readModule(module.file, readFile(module.file), readFile)
  }))
  const pages = new Map([["README.md", renderIndex(modules)]])
  for (const module of modules) {
    const page = `${module.name}.md`
    if (pages.has(page)) throw new Error(`Two modules are called ${module.name}`)
    pages.set(page, renderModule(module))
  }
  return pages
}

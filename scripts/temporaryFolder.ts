import * as Fs from "node:fs"
import * as Path from "node:path"

/** A new folder for what is derived, ignored by git and inside the workspace, so that its packages resolve from there. */
export const temporaryFolder = (root: string, name: string): string => {
  Fs.mkdirSync(Path.join(root, ".tmp"), { recursive: true })
  return Fs.mkdtempSync(Path.join(root, ".tmp", `${name}-`))
}

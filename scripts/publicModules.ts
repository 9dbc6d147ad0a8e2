/**
 * The public modules: each `packages/<package>/src/<Module>.ts` is one, the barrel and `internal/` are not.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

export interface PublicModule {
  /** The folder below `packages`. */
  readonly package: string
  /** The name it is imported by. */
  readonly packageName: string
  /** The module's name, as in `Listener`. */
  readonly name: string
  /** Its file, relative to the root. */
  readonly file: string
  /** The package's index exports it; another one is imported by its path. */
  readonly indexed: boolean
}

export const publicPackages = ["core", "node", "testing"] as const

export const publicModules = (root: string): ReadonlyArray<PublicModule> =>
  publicPackages.flatMap((name) => {
    const source = Path.join("packages", name, "src")
    const index = Fs.readFileSync(Path.join(root, source, "index.ts"), "utf8")
    return Fs.readdirSync(Path.join(root, source))
      .filter((file) => file.endsWith(".ts") && file !== "index.ts")
      .sort()
      .map((file) => ({
        package: name,
        packageName: `@effect-listener/${name}`,
        name: file.slice(0, -".ts".length),
        file: Path.join(source, file),
        indexed: index.includes(`"./${file}"`)
      }))
  })

/**
 * Makes the JavaScript of the published packages: `node scripts/bundle.ts [package …]`, all of them by default. The
 * declarations beside it are made by `tsc`.
 *
 * Each public module stays a file, and so does what several of them share: the fewest files with which a module loads
 * nothing that it does not need. Node takes half a millisecond to find and load a file, so that a server made of sixty
 * small ones starts by a tenth later.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { rolldown } from "rolldown"
import { markPureCalls } from "./bundle/pureCalls.ts"
import { publicModules, publicPackages } from "./publicModules.ts"

const root = Path.resolve(import.meta.dirname, "..")

/** What is imported by a name, not by a path. */
const others = /^[^./]/

/** What most servers load comes in one file; of the test kit each module loads what it needs, so that most run anywhere. */
const groups = (name: string) => {
  switch (name) {
    case "testing":
      return []
    case "node":
      return [
        {
          // not every server speaks it
          name: "http",
          test: /\/internal\/http\//,
          minShareCount: 2,
          // what it needs others need as well
          includeDependenciesRecursively: false,
          priority: 1
        },
        { name: "common", test: /\/internal\//, minShareCount: 3 }
      ]
    default:
      return [{ name: "common", minShareCount: 3 }]
  }
}

const bundle = async (name: string): Promise<void> => {
  const folder = Path.join(root, "packages", name)
  const dist = Path.join(folder, "dist")
  for (const file of Fs.globSync("**/*.{js,js.map}", { cwd: dist })) Fs.rmSync(Path.join(dist, file))

  const modules = publicModules(root).filter((module) => module.package === name)
  const build = await rolldown({
    input: Object.fromEntries(modules.map((module) => [module.name, Path.join(root, module.file)])),
    external: others,
    platform: "neutral",
    preserveEntrySignatures: "allow-extension",
    plugins: [markPureCalls]
  })
  try {
    await build.write({
      dir: dist,
      sourcemap: true,
      // the package has them
      sourcemapExcludeSources: true,
      // the declarations have them, and Node reads and hashes them whenever a program starts
      comments: { jsdoc: false },
      chunkFileNames: "internal/[name].js",
      codeSplitting: { groups: groups(name) }
    })
  } finally {
    await build.close()
  }

  // names each of them; bundled with them, it would be made of objects with a getter for each export
  const index = Fs.readFileSync(Path.join(folder, "src/index.ts"), "utf8")
  Fs.writeFileSync(Path.join(dist, "index.js"), index.replaceAll(".ts\"", ".js\""))
}

const names = process.argv.length > 2 ? process.argv.slice(2) : publicPackages
for (const name of names) await bundle(name)

/**
 * Packs the three packages as they would be published: `pnpm pack:all [folder, default packs]`.
 *
 * Prints what to put into the `package.json` of a project that uses them before they are in a registry.
 */
import * as Path from "node:path"
import { packAll } from "./pack/packAll.ts"

const root = Path.resolve(import.meta.dirname, "..")
const tarballs = await packAll(root, Path.resolve(root, process.argv[2] ?? "packs"))
console.log(JSON.stringify({ dependencies: tarballs, overrides: tarballs }, undefined, 2))

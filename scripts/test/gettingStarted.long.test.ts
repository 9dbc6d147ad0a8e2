/**
 * docs/getting-started.md with Bun, whose binary comes as an npm package.
 */
import { afterAll } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { packAll } from "../pack/packAll.ts"
import { gettingStartedSuite } from "./support/gettingStartedSuite.ts"

const packs = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-listener-packs-"))
afterAll(() => Fs.rmSync(packs, { recursive: true, force: true }))

const bun = execFileSync("npx", ["-y", "-p", "bun@1.4.5", "--", "bun", "-e", "console.log(process.execPath)"], {
  encoding: "utf8"
})
// its file in the package has another name
Fs.mkdirSync(Path.join(packs, "bin"))
Fs.symlinkSync(bun.trim(), Path.join(packs, "bin/bun"))

gettingStartedSuite(
  () => packAll(Path.resolve(import.meta.dirname, "../.."), packs),
  Path.join(packs, "bin")
)

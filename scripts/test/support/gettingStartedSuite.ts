/**
 * docs/getting-started.md, done as it says: its commands and its program, in an empty folder.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { freePort } from "../../../packages/node/test/support/listening.ts"

const page = Fs.readFileSync(Path.resolve(import.meta.dirname, "../../../docs/getting-started.md"), "utf8")

/** The blocks of one language below the heading of a step. */
const blocks = (step: number, language: string): ReadonlyArray<string> => {
  const text = page.split(/^## /m).find((section) => section.startsWith(`${step}. `)) ?? ""
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\b.*\\n([^]*?)^\`\`\``, "gm"))].map(([, code]) => code!)
}

const script = (...steps: ReadonlyArray<number>): string => steps.flatMap((step) => blocks(step, "sh")).join("\n")

/** Step 1 makes what `tarballs` answers. Bun runs where its folder is given. */
export const gettingStartedSuite = (
  tarballs: () => Promise<Record<string, string>>,
  bun?: string
) =>
  describe("docs/getting-started.md", { tags: ["curl"] }, () => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-listener-getting-started-"))
    let port = 0

    const bash = async (commands: string, cwd: string) => {
      const path = [Path.dirname(process.execPath), bun, process.env["PATH"]].filter((path) => path !== undefined)
      const { stdout } = await promisify(execFile)(
        "bash",
        ["-e", "-c", commands.replaceAll("8080", String(port))],
        { cwd, env: { ...process.env, PATH: path.join(Path.delimiter), npm_config_prefer_offline: "true" } }
      )
      return stdout
    }

    beforeAll(async () => {
      const packed = Object.values(await tarballs()).map((file) => file.replace(/^file:/, ""))
      Fs.symlinkSync(Path.dirname(packed[0]!), Path.join(folder, "packs"))
      port = await Effect.runPromise(freePort())
      await bash(script(2, 3), folder)
      const program = blocks(4, "ts")[0]!.replaceAll("8080", String(port))
      Fs.writeFileSync(Path.join(folder, "my-server/server.ts"), program)
      return () => Fs.rmSync(folder, { recursive: true, force: true })
    }, 300_000)

    it("is packed by a script that there is, in fewer than ten steps", () => {
      const { scripts } = JSON.parse(
        Fs.readFileSync(Path.resolve(import.meta.dirname, "../../../package.json"), "utf8")
      )
      assert.match(script(1), /^npx -y pnpm@12 pack:all \.\.\/packs$/m)
      assert.isString(scripts["pack:all"])
      assert.isBelow(page.match(/^## \d+\. /gm)!.length, 10)
    })

    it("ends in a server that answers what is in flight at SIGTERM", async () => {
      const printed = await bash(script(5, 6, 7), Path.join(folder, "my-server"))
      assert.match(printed, /^hello\n[^]*^at last\n[^]*^exit code 0\n$/m)
    })

    it("ends in the same on Bun", async ({ skip }) => {
      if (bun === undefined) return skip("Bun is fetched by `npm run test:long`")
      const printed = await bash(script(8), Path.join(folder, "my-server"))
      assert.match(printed, /^hello\n[^]*^exit code 0\n$/m)
    })
  })

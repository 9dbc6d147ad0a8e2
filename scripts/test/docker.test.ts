/**
 * docs/docker.md: the Dockerfile is the starter's, and what is in it and beside it makes sense.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Script } from "node:vm"
import { parse } from "yaml"

const root = Path.resolve(import.meta.dirname, "../..")
const read = (file: string): string => Fs.readFileSync(Path.join(root, file), "utf8")

const page = read("docs/docker.md")

const block = (language: string): string => {
  const code = new RegExp(`^\`\`\`${language}\\b.*\\n([^]*?)^\`\`\``, "m").exec(page)?.[1]
  assert.isDefined(code, language)
  return code!
}

/** Name and arguments of each instruction. */
const instructions = (dockerfile: string): ReadonlyArray<readonly [string, string]> =>
  dockerfile.replaceAll("\\\n", " ").split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => {
      const [, name = "", rest = ""] = /^([A-Z]+) (.+)$/.exec(line) ?? assert.fail(`no instruction: ${line}`)
      return [name, rest] as const
    })

describe("docs/docker.md", () => {
  const known = ["FROM", "WORKDIR", "COPY", "RUN", "ENV", "EXPOSE", "STOPSIGNAL", "USER", "CMD"]

  it.for(
    [
      ["of the page", () => block("dockerfile")],
      ["of the starter", () => read("examples/starter/Dockerfile")]
    ] as const
  )("the Dockerfile %s makes the program process 1", ([, dockerfile]) => {
    const all = instructions(dockerfile())
    assert.deepStrictEqual(all.map(([name]) => name).filter((name) => !known.includes(name)), [])
    assert.strictEqual(all[0]?.[0], "FROM")
    const of = (name: string) => all.filter(([it]) => it === name).map(([, rest]) => rest)
    assert.deepStrictEqual(of("STOPSIGNAL"), ["SIGTERM"])
    assert.deepStrictEqual(JSON.parse(of("CMD")[0]!), ["node", "src/main.ts"])
    assert.deepStrictEqual(of("USER"), ["node"])
  })

  it("has a grace period longer than what the program takes", () => {
    const service = parse(block("yaml")).services["my-server"]
    const seconds = (text: string) => Number(/^(\d+)s(?:econds)?$/.exec(text.replace(" ", ""))?.[1])
    const program = block("ts")
    const [, hostDeadline = ""] = /hostDeadline: "(.+?)"/.exec(program)!
    const [, deadline = ""] = /drain: \{ deadline: "(.+?)"/.exec(program)!
    assert.isAtLeast(seconds(service.stop_grace_period), seconds(hostDeadline) + 2)
    assert.isAtLeast(seconds(hostDeadline), seconds(deadline))
  })

  it("has a healthcheck that is JavaScript", () => {
    const [how, node, flag, code] = parse(block("yaml")).services["my-server"].healthcheck.test
    assert.deepStrictEqual([how, node, flag], ["CMD", "node", "-e"])
    assert.doesNotThrow(() => new Script(code))
  })
})

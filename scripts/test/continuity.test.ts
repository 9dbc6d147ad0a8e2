/** docs/continuity.md: its units and manifests are what their readers take, and say what the text says. */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parse } from "yaml"

const root = Path.resolve(import.meta.dirname, "../..")
const text = Fs.readFileSync(Path.join(root, "docs/continuity.md"), "utf8")

const blocks = (language: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, "g")), ([, block = ""]) => block)

type Unit = Record<string, Record<string, string>>

/** systemd.syntax(7), as far as it is used here: sections, assignments, comments. */
const unit = (block: string): Unit => {
  const sections: Unit = {}
  let section: Record<string, string> | undefined
  for (const line of block.split("\n")) {
    if (line === "" || line.startsWith("#")) continue
    const name = /^\[(\w+)\]$/.exec(line)?.[1]
    if (name !== undefined) {
      section = sections[name] = {}
      continue
    }
    const [, key, value] = /^(\w+)=(.+)$/.exec(line) ?? assert.fail(`not a line of a unit: ${line}`)
    assert.isDefined(section, `outside a section: ${line}`)
    section[key!] = value!
  }
  return sections
}

const sections = new Set(["Unit", "Socket", "Service", "Install"])

describe("the units in docs/continuity.md", () => {
  const units = blocks("ini").map(unit)
  const [socket, activated, reloaded] = units

  it("are units", () => {
    assert.lengthOf(units, 3)
    for (const each of units) assert.isTrue(Object.keys(each).every((name) => sections.has(name)), JSON.stringify(each))
  })

  it("name the socket as the program asks for it", () => {
    const name = /inherit: "(\w+)"/.exec(text)?.[1]
    assert.strictEqual(socket?.["Socket"]?.["FileDescriptorName"], name)
    assert.strictEqual(socket?.["Socket"]?.["ListenStream"], /port: (\d+), inherit/.exec(text)?.[1])
  })

  it.each([["activated", activated], ["reloaded", reloaded]] as const)(
    "%s: systemd is told by another process, stops the program by a signal, and starts Node itself",
    (_, each) => {
      const service = each?.["Service"]
      assert.strictEqual(service?.["Type"], "notify")
      assert.strictEqual(service?.["NotifyAccess"], "all")
      assert.strictEqual(service?.["KillMode"], "mixed")
      assert.match(service?.["ExecStart"] ?? "", /^\/\S*node \//)
    }
  )

  it("leave the drain its time", () => {
    const deadline = Number(/deadline: "(\d+) seconds"/.exec(text)?.[1])
    assert.isAbove(Number(activated?.["Service"]?.["TimeoutStopSec"]), deadline)
  })

  it("reload by the signal that hands over", () => {
    assert.strictEqual(reloaded?.["Service"]?.["ExecReload"], "/bin/kill -USR2 $MAINPID")
  })
})

describe("the manifests in docs/continuity.md", () => {
  const [compose, deployment] = blocks("yaml").map((block) => parse(block) as Record<string, never>)

  it("stop a container with time to drain", () => {
    const app = (compose as unknown as { services: { app: Record<string, unknown> } }).services.app
    assert.deepStrictEqual(app["command"], ["node", "supervisor.js"])
    assert.strictEqual(app["stop_grace_period"], "30s")
  })

  it("replace pods without taking one away first", () => {
    const { kind, spec } = deployment as unknown as {
      readonly kind: string
      readonly spec: {
        readonly strategy: { readonly rollingUpdate: object }
        readonly selector: { readonly matchLabels: object }
        readonly template: { readonly metadata: { readonly labels: object } }
      }
    }
    assert.strictEqual(kind, "Deployment")
    assert.deepStrictEqual(spec.strategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 })
    assert.deepStrictEqual(spec.selector.matchLabels, spec.template.metadata.labels)
  })
})

describe("the links in docs/continuity.md", () => {
  it.for(Array.from(text.matchAll(/\]\(([^)#]+)\)/g), ([, file]) => file!))("%s is there", (file) => {
    assert.isTrue(Fs.existsSync(Path.join(root, "docs", file)), file)
  })
})

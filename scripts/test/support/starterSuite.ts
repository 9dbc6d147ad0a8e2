/**
 * examples/starter as a copy of the folder gets it: installed from the packed packages, in a folder of its own.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { parse, parseAllDocuments } from "yaml"
import * as HttpLoad from "../../../packages/node/test/support/httpLoad.ts"
import { freePort } from "../../../packages/node/test/support/listening.ts"
import * as Process from "../../../packages/node/test/support/process.ts"
import { execute } from "../../pack/packAll.ts"

const root = Path.resolve(import.meta.dirname, "../../..")
const starter = Path.join(root, "examples/starter")
const read = (file: string): string => Fs.readFileSync(Path.join(starter, file), "utf8")

/** Lame duck and deadline, in seconds, as the program has them. */
const bounds = () => {
  const [, lameDuck, deadline] = /max: "(\d+) seconds" \}, deadline: "(\d+) seconds"/.exec(read("src/service.ts"))!
  return Number(lameDuck) + Number(deadline)
}

/** How long the program waits for a client that is connected and has not asked, in milliseconds: as it comes. */
const idleGrace = 250

/** The tests of the starter, given each package's name with its tarball as a dependency. */
export const starterSuite = (tarballs: () => Promise<Record<string, string>>) =>
  describe("examples/starter", () => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-listener-starter-"))

    beforeAll(async () => {
      const packed = await tarballs()
      for (const name of ["package.json", "tsconfig.json", "src", "test"]) {
        Fs.cpSync(Path.join(starter, name), Path.join(folder, name), { recursive: true })
      }
      const manifest = JSON.parse(read("package.json"))
      Object.assign(manifest.dependencies, {
        "@effect-listener/core": packed["@effect-listener/core"],
        "@effect-listener/node": packed["@effect-listener/node"]
      })
      Fs.writeFileSync(Path.join(folder, "package.json"), JSON.stringify(manifest))
      Fs.writeFileSync(Path.join(folder, "pnpm-workspace.yaml"), JSON.stringify({ overrides: packed }))
      await execute(folder, "pnpm", "install", "--prefer-offline", "--no-frozen-lockfile")
    }, 600_000)

    afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

    it("type-checks", async () => {
      assert.strictEqual(await execute(folder, "node_modules/.bin/tsc", "--noEmit", "--pretty", "false"), "")
    })

    it("passes its own tests", async () => {
      assert.match(await execute(folder, "node_modules/.bin/vitest", "run"), /2 passed/)
    })

    it.live("is restarted under load, and loses nothing", () =>
      Effect.gen(function*() {
        const port = yield* freePort()
        const main = pathToFileURL(Path.join(folder, "src/main.ts"))
        const env = { PORT: String(port), HOST: "127.0.0.1", ADMIN_PORT: String(yield* freePort()) }
        const isOpen = (line: string) => line.includes(`127.0.0.1:${port}`) || undefined
        for (let round = 0; round < 2; round++) {
          const service = yield* Process.start(main, { env })
          yield* Effect.raceFirst(service.stdout(isOpen), service.stderr(isOpen))
          const { answered, load, refused } = yield* HttpLoad.start(port, {
            clients: 16,
            pause: () => 0,
            // on a machine that has other work a client is late now and then
            grace: idleGrace,
            path: "/hello?name=you",
            body: "hello you"
          })
          yield* answered(200)
          yield* service.signal("SIGTERM")
          yield* refused
          assert.strictEqual((yield* service.exit).code, 0)
          assert.deepStrictEqual({ lost: load.lost, cut: load.cut, answered: load.answered }, {
            lost: 0,
            cut: 0,
            answered: load.sent - load.late
          })
        }
      }))

    it("has a Dockerfile in which the program is PID 1 and hears the signal", () => {
      const instructions = read("Dockerfile").split("\n").filter((line) => line !== "" && !line.startsWith("#"))
      const of = (name: string) => instructions.filter((line) => line.startsWith(`${name} `))
      assert.match(of("FROM")[0]!, /^FROM node:24/)
      assert.deepStrictEqual(of("CMD"), ["CMD [\"node\", \"src/main.ts\"]"])
      assert.deepStrictEqual(of("STOPSIGNAL"), ["STOPSIGNAL SIGTERM"])
      for (const [, from] of read("Dockerfile").matchAll(/^COPY (src) /gm)) {
        assert.isTrue(Fs.existsSync(Path.join(starter, from!)))
      }
    })

    it("has a unit that waits longer than the drain takes", () => {
      const unit = Object.fromEntries(
        read("deploy/my-service.service").split("\n")
          .filter((line) => /^[A-Z]\w+=/.test(line))
          .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)])
      )
      assert.match(unit["ExecStart"]!, /^\/usr\/bin\/node src\/main\.ts$/)
      assert.strictEqual(unit["KillMode"], "mixed")
      assert.isAbove(Number(unit["TimeoutStopSec"]), bounds())
    })

    it("has a manifest whose grace period is longer than the drain takes", () => {
      const [deployment, service] = parseAllDocuments(read("deploy/kubernetes.yaml")).map((document) => document.toJS())
      const pod = deployment.spec.template
      assert.isAbove(pod.spec.terminationGracePeriodSeconds, bounds())
      assert.deepStrictEqual(service.spec.selector, pod.metadata.labels)
      assert.strictEqual(pod.spec.containers[0].readinessProbe.httpGet.path, "/readyz")
      assert.isObject(parse(read("deploy/kubernetes.yaml").split("---")[0]!))
    })
  })

/**
 * The packages as users get them: built, packed, and installed into an empty project outside the workspace.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Esbuild from "esbuild"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { rolldown } from "rolldown"
import { folder as emptyFolder } from "../../packages/node/test/support/listening.ts"
import * as Process from "../../packages/node/test/support/process.ts"
import type { DocExample } from "../docExamples/extract.ts"
import { fromMarkdown } from "../docExamples/extract.ts"
import { check } from "../docExamples/run.ts"
import { execute, packAll } from "../pack/packAll.ts"
import { publicModules, publicPackages } from "../publicModules.ts"
import { gettingStartedSuite } from "./support/gettingStartedSuite.ts"
import { starterSuite } from "./support/starterSuite.ts"

const root = Path.resolve(import.meta.dirname, "../..")

const readJson = (file: string) => JSON.parse(Fs.readFileSync(file, "utf8"))

const installedVersion = (name: string): string =>
  readJson(Path.join(root, "node_modules", name, "package.json")).version

const writeProject = (folder: string, tarballs: Record<string, string>): void => {
  const write = (file: string, content: unknown) => Fs.writeFileSync(Path.join(folder, file), JSON.stringify(content))
  write("package.json", {
    name: "consumer",
    private: true,
    type: "module",
    dependencies: {
      ...tarballs,
      "@effect/platform-node": installedVersion("@effect/platform-node"),
      effect: installedVersion("effect")
    },
    devDependencies: {
      "@types/node": installedVersion("@types/node"),
      typescript: installedVersion("typescript"),
      vitest: installedVersion("vitest"),
      vite: installedVersion("vite")
    }
  })
  // the packages depend on each other by version, and no registry has this one yet
  write("pnpm-workspace.yaml", { overrides: tarballs })
  write("tsconfig.base.json", {
    compilerOptions: {
      target: "ES2024",
      lib: ["ES2024", "ESNext.Disposable", "DOM", "DOM.Iterable"],
      module: "NodeNext",
      moduleDetection: "force",
      types: ["node"],
      strict: true,
      exactOptionalPropertyTypes: true,
      // a published type that mentions one that was not published would otherwise silently be `any`
      skipLibCheck: false
    }
  })
}

const consumer = `
import * as Core from "@effect-listener/core"
import * as ListenerState from "@effect-listener/core/ListenerState"
import * as Node from "@effect-listener/node"
import * as Testing from "@effect-listener/testing"
import * as MemoryTransport from "@effect-listener/testing/MemoryTransport"
import { Effect } from "effect"

console.log(Core.ListenerState.transition === ListenerState.transition) // => true
console.log(Testing.MemoryTransport.make === MemoryTransport.make) // => true
console.log(typeof Node) // => object

const program = Effect.gen(function*() {
  const listener = yield* Core.Listener.listen(yield* MemoryTransport.make())
  const report: Core.DrainReport.DrainReport = yield* listener.close()
  console.log(report.outcome) // => Drained
})

await Effect.runPromise(Effect.scoped(program))
`

const internals = `
for (const name of ["core", "node", "testing"]) {
  const error = await import(\`@effect-listener/\${name}/internal/x\`).catch((error) => error)
  console.log(error.code)
}
// => ERR_PACKAGE_PATH_NOT_EXPORTED
// => ERR_PACKAGE_PATH_NOT_EXPORTED
// => ERR_PACKAGE_PATH_NOT_EXPORTED
`

/** The modules outside `node` that do not run anywhere: one opens sockets, the other is a vitest suite. */
const needNode = ["BadClients", "TransportLaws"]

const example = (file: string, code: string): DocExample => ({ file, line: 1, code, noRun: undefined })

/** The one of the documentation, and where it listens. */
const httpServer = `
import { NodeHttp, NodeMain } from "@effect-listener/node"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { NetAddress } from "effect/net"

const Hello = HttpRouter.add("GET", "/", HttpServerResponse.text("hello"))
const Server = NodeHttp.layer({ port: 0, host: "127.0.0.1", drain: { deadline: "10 seconds" } })
const Announced = Layer.effectDiscard(Effect.map(HttpServer.HttpServer, ({ address }) => {
  if (NetAddress.isInetAddress(address)) console.log(JSON.stringify({ event: "open", port: address.port }))
}))

NodeMain.runMain(Layer.launch(Layer.provide(Layer.merge(HttpRouter.serve(Hello), Announced), Server)))
`

/** Names in what else there is: workers, datagrams, RPC, the inspector's page. */
const unusedByHttp = [
  "NodeWorkers/",
  "createSocket",
  "RpcListener/",
  "<!doctype html>",
  "class HostImpl",
  "class DatagramListenerImpl"
]

/** `ws`, by which Effect's server speaks WebSocket, is CommonJS, and asks for Node's modules when it runs. */
const banner = {
  js: `import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);`
}

const bundlers = [
  {
    name: "rolldown",
    bundle: async (input: string) => {
      const build = await rolldown({ input, platform: "node", logLevel: "silent" })
      try {
        return (await build.generate({ format: "esm", codeSplitting: false })).output[0].code
      } finally {
        await build.close()
      }
    }
  },
  {
    name: "esbuild",
    bundle: async (input: string) => {
      const options = {
        bundle: true,
        format: "esm",
        platform: "node",
        banner,
        logLevel: "silent",
        write: false
      } as const
      return (await Esbuild.build({ entryPoints: [input], ...options })).outputFiles[0]!.text
    }
  }
]

const readme = Path.join(root, "README.md")

const examples = [
  example("consumer", consumer),
  example("internals", internals),
  ...Fs.existsSync(readme) ? fromMarkdown("README.md", Fs.readFileSync(readme, "utf8")) : []
]

const packs = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-listener-packs-"))
afterAll(() => Fs.rmSync(packs, { recursive: true, force: true }))

let packing: Promise<Record<string, string>> | undefined

/** Packed once: two builds of one package at a time would be in each other's way. */
const tarballs = () => packing ??= packAll(root, packs)

starterSuite(tarballs)
gettingStartedSuite(tarballs)

describe("the published packages", () => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-listener-consumer-"))
  const manifest = (name: string) => readJson(Path.join(folder, "node_modules/@effect-listener", name, "package.json"))

  let problems: ReadonlyArray<string | undefined>

  beforeAll(async () => {
    writeProject(folder, await tarballs())
    await execute(folder, "pnpm", "install", "--prefer-offline", "--no-frozen-lockfile")
    const examplesFolder = Path.join(folder, "examples")
    Fs.mkdirSync(examplesFolder)
    problems = await check(examples, { root: folder, folder: examplesFolder, timeout: 120_000 })
  }, 600_000)

  afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

  it.for(examples.map(({ file, line }, index) => [`${file}:${line}`, index] as const))(
    "type-check and run %s",
    ([, index]) => {
      assert.strictEqual(problems[index] ?? "", "")
    }
  )

  it("have whole types", async () => {
    const file = Path.join(folder, "types.ts")
    Fs.writeFileSync(
      file,
      publicModules(root).map(({ name, packageName }) => `import "${packageName}/${name}"\n`).join("")
    )
    const project = Path.join(folder, "tsconfig.json")
    Fs.writeFileSync(
      project,
      JSON.stringify({ extends: "./tsconfig.base.json", compilerOptions: { noEmit: true }, files: [file] })
    )
    // fails with the output of tsc
    assert.strictEqual(await execute(folder, "tsc", "-p", project, "--pretty", "false"), "")
  })

  it.for(publicModules(root))("have $packageName/$name, built", ({ file, package: name }) => {
    const built = file.replace(/^.*\/src\//, "dist/").replace(/\.ts$/, "")
    for (const extension of [".js", ".d.ts", ".d.ts.map"]) {
      const path = Path.join(folder, "node_modules/@effect-listener", name, built + extension)
      assert.isTrue(Fs.existsSync(path), `${built}${extension} is missing`)
    }
  })

  it.for(publicPackages)("%s has maps to its sources, and comes with these", (name) => {
    const dist = Path.join(folder, "node_modules/@effect-listener", name, "dist")
    const maps = Fs.globSync("**/*.js.map", { cwd: dist }).map((map) => ({ map, ...readJson(Path.join(dist, map)) }))
    // each source once, as a file
    assert.deepStrictEqual(maps.filter(({ sourcesContent }) => sourcesContent?.some(Boolean)).map(({ map }) => map), [])
    const mapped = maps.flatMap(({ map, sources }) =>
      sources.map((source: string) => Path.resolve(dist, Path.dirname(map), source))
    )
    assert.include(
      mapped,
      Path.resolve(dist, "../src", publicModules(root).findLast((it) => it.package === name)!.name + ".ts")
    )
    assert.deepStrictEqual(mapped.filter((source) => !Fs.existsSync(source)), [])
  })

  it("are few files, because a process starts the later the more it has to find", async () => {
    const files = await loadedBy("@effect-listener/node/NodeHttp", "@effect-listener/node/NodeMain")
    const ours = files.filter((file) => file.includes("/@effect-listener/"))
    assert.isAtLeast(ours.length, 2)
    assert.isAtMost(ours.length, 18)
  })

  describe("bundled with an HTTP server into one file", () => {
    for (const { bundle, name } of bundlers) {
      it.live(`by ${name}, serve and drain, and come without what it does not use`, () =>
        Effect.gen(function*() {
          const input = Path.join(folder, "bundled.ts")
          Fs.writeFileSync(input, httpServer)
          const code = yield* Effect.promise(() => bundle(input))
          for (const unused of unusedByHttp) assert.notInclude(code, unused)
          // away from every package
          const alone = Path.join(yield* emptyFolder(), "server.mjs")
          Fs.writeFileSync(alone, code)
          const server = yield* Process.start(pathToFileURL(alone))
          const port = yield* server.port
          const response = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/`))
          assert.strictEqual(yield* Effect.promise(() => response.text()), "hello")
          yield* server.signal("SIGTERM")
          assert.strictEqual((yield* server.exit).code, 0)
        }))
    }
  })

  it.for(publicPackages)("%s depends on what registries have, and comes with licence and changelog", (name) => {
    const { dependencies = {}, peerDependencies } = manifest(name)
    for (const range of Object.values({ ...dependencies, ...peerDependencies })) {
      assert.match(String(range), /^[\^>]/)
    }
    for (const file of ["LICENSE", "CHANGELOG.md"]) {
      assert.isTrue(Fs.existsSync(Path.join(folder, "node_modules/@effect-listener", name, file)), `${file} is missing`)
    }
  })

  it.for(
    publicModules(root)
      .filter(({ name, package: folder }) => folder !== "node" && !needNode.includes(name))
      .map(({ name, packageName }) => `${packageName}/${name}`)
  )("%s runs anywhere: it loads no module of Node's", async (specifier) => {
    assert.deepStrictEqual((await loadedBy(specifier)).filter((url) => url.startsWith("node:")), [])
  })

  /** The files and modules of Node that are loaded with these of ours. */
  const loadedBy = async (...specifiers: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
    const file = Path.join(folder, `${specifiers.join("-").replaceAll(/\W/g, "-")}.ts`)
    Fs.writeFileSync(
      file,
      `import { registerHooks } from "node:module"
      const loaded = new Set<string>()
      registerHooks({
        resolve(specifier, context, next) {
          const resolved = next(specifier, context)
          loaded.add(resolved.url)
          return resolved
        }
      })
      for (const specifier of ${JSON.stringify(specifiers)}) await import(specifier)
      console.log(JSON.stringify([...loaded]))`
    )
    return JSON.parse(await execute(folder, process.execPath, file))
  }
})

/**
 * docs/kubernetes.md: its program, its manifest and its arithmetic agree with each other and with what a close does.
 */
import { Listener, ListenerHost } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { parseAllDocuments } from "yaml"
import { budget } from "../../packages/core/src/internal/host/hostPolicy.ts"
import { freePort } from "../../packages/node/test/support/listening.ts"
import * as Process from "../../packages/node/test/support/process.ts"
import { fromMarkdown } from "../docExamples/extract.ts"
import { temporaryFolder } from "../temporaryFolder.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const text = Fs.readFileSync(Path.join(root, "docs/kubernetes.md"), "utf8")
const program = fromMarkdown("docs/kubernetes.md", text)[0]!.code

/** Every block of the guide fenced with this language. */
const blocks = (language: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms")), ([, block = ""]) => block)

/** `name: "5 seconds"` in the program. */
const seconds = (name: string): number => {
  const found = new RegExp(`\\b${name}: "(\\d+) seconds"`).exec(program)?.[1]
  assert.isDefined(found, name)
  return Number(found)
}

const min = seconds("min")
const max = seconds("max")
const deadline = seconds("deadline")
const reserve = seconds("reserve")
const hostDeadline = seconds("hostDeadline")

const Labels = Schema.Record(Schema.String, Schema.String)

const Probe = Schema.Struct({
  httpGet: Schema.Struct({ path: Schema.String, port: Schema.String }),
  periodSeconds: Schema.Int,
  timeoutSeconds: Schema.optionalKey(Schema.Int),
  failureThreshold: Schema.Int
})

const Deployment = Schema.Struct({
  kind: Schema.Literal("Deployment"),
  spec: Schema.Struct({
    selector: Schema.Struct({ matchLabels: Labels }),
    template: Schema.Struct({
      metadata: Schema.Struct({ labels: Labels }),
      spec: Schema.Struct({
        terminationGracePeriodSeconds: Schema.Int,
        containers: Schema.Tuple([Schema.Struct({
          ports: Schema.Array(Schema.Struct({ name: Schema.String, containerPort: Schema.Int })),
          lifecycle: Schema.optionalKey(Schema.Never),
          startupProbe: Probe,
          readinessProbe: Probe,
          livenessProbe: Probe
        })])
      })
    })
  })
})

const Service = Schema.Struct({
  kind: Schema.Literal("Service"),
  spec: Schema.Struct({
    selector: Labels,
    ports: Schema.Array(Schema.Struct({ port: Schema.Int, targetPort: Schema.String }))
  })
})

const [deployment, service] = (() => {
  const documents = parseAllDocuments(blocks("yaml").join("---\n"), { strict: true, uniqueKeys: true })
  assert.deepStrictEqual(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings]), [])
  return Schema.decodeUnknownSync(Schema.Tuple([Deployment, Service]))(documents.map((document) => document.toJS()))
})()

const pod = deployment.spec.template
const [container] = pod.spec.containers

describe("the manifest in docs/kubernetes.md", () => {
  it("selects its own pods", () => {
    assert.deepStrictEqual(deployment.spec.selector.matchLabels, pod.metadata.labels)
    assert.deepStrictEqual(service.spec.selector, pod.metadata.labels)
  })

  it("names the ports that the program listens on, and does not show the admin port", () => {
    const listens = Array.from(program.matchAll(/port: (\d+), name: "(\w+)"/g), ([, port]) => Number(port))
    assert.deepStrictEqual(container.ports.map(({ containerPort }) => containerPort), listens)
    assert.deepStrictEqual(service.spec.ports.map(({ targetPort }) => targetPort), ["http"])
    assert.deepStrictEqual(container.ports.map(({ name }) => name), ["http", "admin"])
  })

  it("asks the admin port: /readyz for readiness, /livez for liveness", () => {
    assert.deepStrictEqual(
      [container.startupProbe, container.readinessProbe, container.livenessProbe].map(({ httpGet }) => httpGet),
      [
        { path: "/readyz", port: "admin" },
        { path: "/readyz", port: "admin" },
        { path: "/livez", port: "admin" }
      ]
    )
  })
})

describe("the arithmetic in docs/kubernetes.md", () => {
  const known: Record<string, number | undefined> = {
    terminationGracePeriodSeconds: pod.spec.terminationGracePeriodSeconds,
    hostDeadline,
    "lameDuck.min": min,
    "lameDuck.max": max,
    deadline,
    periodSeconds: container.readinessProbe.periodSeconds,
    failureThreshold: container.readinessProbe.failureThreshold,
    timeoutSeconds: container.readinessProbe.timeoutSeconds,
    preStop: 0
  }

  const sum = (terms: string): number =>
    terms.split("+").reduce((sum, term) => sum + term.split("×").reduce((product, x) => product * Number(x), 1), 0)

  const formulas = blocks("text").flatMap((block) => block.trim().split("\n\n")).map((formula) =>
    formula.split("\n").map((line) => line.trim())
  )

  it("is there", () => {
    assert.deepStrictEqual(formulas.map(([names]) => names?.split(" ")[0]), [
      "terminationGracePeriodSeconds",
      "hostDeadline",
      "lameDuck.min"
    ])
  })

  it.for(formulas)("%s", ([names = "", numbers = ""]) => {
    const operators = (line: string) => line.replace(/[^≥=+×]/g, "")
    assert.strictEqual(operators(numbers), operators(names))
    const values = numbers.split(/[≥=+×]/).map(Number)
    names.split(/[≥=+×]/).forEach((name, index) => {
      const value = known[name.trim()]
      if (value !== undefined) assert.strictEqual(values[index], value, name)
    })
    const [left = "", right = ""] = numbers.split(/[≥=]/)
    if (names.includes("=")) assert.strictEqual(Number(left), sum(right))
    else assert.isAtLeast(Number(left), sum(right))
  })

  /** When the last is cut, left behind, and all is over, in milliseconds from the signal on. */
  const ends = (() => {
    const options = { deadline: deadline * 1000, reserve: reserve * 1000, abortGrace: 1000, admin: true }
    const { drain, grace, total } = budget(options)
    return [drain, drain + grace, total].map((time) => max * 1000 + time)
  })()

  it("the table says when a close does what", () => {
    const [cut, leftBehind, over] = ends.map((milliseconds) => milliseconds / 1000)
    const table = text.slice(text.indexOf("| seconds after SIGTERM"), text.indexOf("This is the worst case"))
    assert.deepStrictEqual(
      table.trim().split("\n").slice(2).map((row) => row.split("|")[1]?.trim()),
      [
        "0",
        `${min} to ${max}`,
        `at most ${cut}`,
        `at most ${leftBehind}`,
        `at most ${over}`,
        `${over} to ${max + deadline}`,
        String(pod.spec.terminationGracePeriodSeconds)
      ]
    )
  })

  it.effect("a host with these numbers, under clients that keep coming and handlers that do not end, keeps to the table", () =>
    Effect.gen(function*() {
      const serve = Effect.fnUntraced(function*(name: string, handler: Effect.Effect<void>) {
        const transport = yield* MemoryTransport.make()
        const listener = yield* Listener.make(transport, { name })
        yield* Effect.forkChild(Effect.ignore(Listener.serve(listener, () => handler)), { startImmediately: true })
        return { transport, listener }
      })
      let cutAt = 0
      const deaf = Effect.uninterruptible(Effect.sleep("1 hour"))
      const waiting = Effect.onInterrupt(Effect.never, () =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          cutAt = now
        }))
      const stubborn = yield* serve("stubborn", deaf)
      const patient = yield* serve("patient", waiting)
      const admin = yield* serve("admin", deaf)
      const host = yield* ListenerHost.make([stubborn.listener, patient.listener], {
        admin: [admin.listener],
        drain: {
          lameDuck: { min: `${min} seconds`, quiet: `${seconds("quiet")} seconds`, max: `${max} seconds` },
          deadline: `${deadline} seconds`
        },
        reserve: `${reserve} seconds`
      })
      for (const { transport } of [stubborn, patient, admin]) yield* transport.connect
      const coming = yield* Effect.forkChild(
        Effect.forever(Effect.delay(stubborn.transport.connect, "1 second")),
        { startImmediately: true }
      )
      const closing = yield* Effect.forkChild(Effect.flip(host.close()), { startImmediately: true })
      assert.deepStrictEqual([yield* host.readiness, yield* host.liveness], [false, true])
      yield* TestClock.setTime(max * 1000 - 1)
      assert.strictEqual(yield* stubborn.listener.state, "Open")
      yield* TestClock.setTime(max * 1000)
      assert.strictEqual(yield* stubborn.listener.state, "Closing")
      // a client that came too late is refused, and comes no more
      assert.strictEqual((yield* Fiber.await(coming))._tag, "Failure")
      const [cut = 0, leftBehind = 0, over = 0] = ends
      yield* TestClock.setTime(leftBehind - 1)
      assert.strictEqual(cutAt, cut)
      assert.deepStrictEqual([yield* stubborn.listener.state, yield* admin.listener.state], ["Closing", "Open"])
      yield* TestClock.setTime(leftBehind)
      assert.deepStrictEqual([yield* stubborn.listener.state, yield* admin.listener.state], ["Closed", "Closing"])
      yield* TestClock.setTime(over - 1)
      assert.strictEqual(yield* admin.listener.state, "Closing")
      yield* TestClock.setTime(over)
      assert.strictEqual((yield* Fiber.join(closing))._tag, "OperationTimedOut")
      yield* TestClock.adjust("1 hour")
    }))
})

describe("the program in docs/kubernetes.md", () => {
  it.live("SIGTERM: 503 and 200 from the probes at once, new requests answered with a goodbye, exit code 0 after the lame duck", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => temporaryFolder(root, "kubernetes")),
        (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
      )
      const api = yield* freePort()
      const admin = yield* freePort()
      const file = Path.join(folder, "main.ts")
      Fs.writeFileSync(file, program.replace("8080", String(api)).replace("9090", String(admin)))
      const ask = (port: number, path: string) =>
        Effect.promise(async () => {
          const response = await fetch(`http://127.0.0.1:${port}${path}`)
          await response.arrayBuffer()
          return { status: response.status, goodbye: response.headers.get("connection") === "close" }
        })

      const running = yield* Process.start(pathToFileURL(file))
      yield* running.stdout((line) => line.includes(`listener "admin" is open`) || undefined)
      yield* Effect.repeat(ask(admin, "/readyz"), { until: ({ status }) => status === 200 })
      assert.deepStrictEqual(yield* ask(api, "/"), { status: 200, goodbye: false })

      yield* running.signal("SIGTERM")
      yield* running.stderr((line) => line.includes("lame duck") || undefined)
      assert.strictEqual((yield* ask(admin, "/readyz")).status, 503)
      assert.strictEqual((yield* ask(admin, "/livez")).status, 200)
      assert.deepStrictEqual(yield* ask(api, "/"), { status: 200, goodbye: true })
      const exit = yield* running.exit
      assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
    }))
})

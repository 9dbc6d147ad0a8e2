import { ListenerHost } from "@effect-listener/core"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import { NetAddress } from "effect/net"
import { service } from "../src/service.ts"

/** Starts the service on free ports, and answers its host and where its listeners are. */
const start = Effect.gen(function*() {
  const local = { host: "127.0.0.1", port: 0, adminHost: "127.0.0.1", adminPort: 0 }
  const host = Context.get(yield* Layer.build(service(local)), ListenerHost.ListenerHost)
  const urls = new Map<string, string>()
  for (const listener of yield* host.listeners) {
    urls.set(listener.name, `http://${NetAddress.formatSocketAddress(yield* listener.address)}`)
  }
  return { host, http: urls.get("http"), admin: urls.get("admin") }
})

const get = (url: string) =>
  Effect.promise(async () => {
    const response = await fetch(url)
    return { status: response.status, text: await response.text() }
  })

describe("my-service", () => {
  it.live("greets", () =>
    Effect.gen(function*() {
      const { http } = yield* start
      assert.deepStrictEqual(yield* get(`${http}/hello?name=you`), { status: 200, text: "hello you" })
    }))

  it.live("is ready until it closes, and answers what is in flight then", () =>
    Effect.gen(function*() {
      const { admin, host, http } = yield* start
      assert.strictEqual((yield* get(`${admin}/readyz`)).status, 200)
      const answer = yield* Effect.forkChild(get(`${http}/hello`))
      // the request is in flight before the close begins
      yield* Effect.repeat(get(`${admin}/listeners`), { until: ({ text }) => text.includes("GET /hello") })
      const report = yield* host.close({ lameDuck: 0 })
      assert.deepStrictEqual(yield* Fiber.join(answer), { status: 200, text: "hello world" })
      assert.strictEqual(report.outcome, "Drained")
    }))
})

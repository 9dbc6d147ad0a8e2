import * as Listener from "@effect-listener/core/Listener"
import * as ListenerInspector from "@effect-listener/node/ListenerInspector"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as HttpPeer from "../../packages/node/test/support/httpPeer.ts"
import * as HttpServing from "../../packages/node/test/support/httpServing.ts"
import { connect as connectTcp } from "../../packages/node/test/support/peer.ts"
import * as Browser from "./support/browser.ts"
import * as Service from "./support/serviceExample.ts"

const section = (name: string) => `document.querySelector('[data-listener="${name}"]')`
const shows = (element: string, text: string) => `${element}?.innerText.includes(${JSON.stringify(text)}) === true`

describe("the page of examples/service.ts in a browser", { tags: ["chromium"] }, () => {
  it.live("connections with phase, age and work; a drain as it runs; and what comes after it", () =>
    Effect.gen(function*() {
      const service = yield* Service.start({ DRAIN_DEADLINE_MS: "20000", LAME_DUCK_MS: "6000" })
      const page = yield* Browser.open(`http://127.0.0.1:${service.admin}/listeners/page`)
      yield* page.until(`document.querySelector("#link")?.dataset.state === "live"`)
      yield* page.until(shows("document.querySelector('header')", "service\nready\nlive"))
      for (const name of ["http", "tcp", "admin"]) yield* page.until(shows(section(name), "Open"))
      assert.strictEqual(yield* page.evaluate("document.querySelector('.drain')"), null)

      const never = yield* HttpPeer.connect(service.http)
      yield* never.send(HttpPeer.get("/never"))
      const stuck = yield* connectTcp({ host: "127.0.0.1", port: service.tcp })
      yield* stuck.send("sleep 60000\n")
      const remote = `127.0.0.1:${stuck.socket.localPort}`
      yield* page.until(shows(section("tcp"), remote))
      yield* page.until(shows(`${section("http")}.querySelector('[data-phase="Active"]')`, "GET /never"))
      // hidden, the page releases its stream, and takes it up again
      const visible = (is: boolean) =>
        page.evaluate(
          `Object.defineProperty(document, "hidden", { configurable: true, value: ${!is} }), ` +
            `document.dispatchEvent(new Event("visibilitychange")), document.querySelector("#link").dataset.state`
        )
      const streams = Effect.map(
        service.listeners,
        ({ listeners }) => listeners[2]?.connections.filter(({ exchanges }) => exchanges[0]?.label.endsWith("/events"))
      )
      assert.strictEqual((yield* streams)?.length, 1)
      assert.strictEqual(yield* visible(false), "paused")
      yield* Effect.repeat(streams, { schedule: Schedule.spaced("20 millis"), until: (open) => open?.length === 0 })
        .pipe(
          Effect.timeout("5 seconds")
        )
      yield* visible(true)
      yield* page.until(`document.querySelector("#link")?.dataset.state === "live"`)
      const row = String(yield* page.evaluate(`${section("tcp")}.querySelector("tbody tr").innerText`))
      assert.match(
        row,
        new RegExp(`^1\\s+${remote}\\s+tcp\\s+Active\\s+[\\d.]+ m?s\\s+line [\\d.]+ m?s\\s+12 B\\s+0 B\\s+0 B$`)
      )

      yield* service.sigterm
      yield* page.until(`document.querySelector("main > .drain")?.dataset.stage === "LameDuck"`)
      yield* page.until(shows("document.querySelector('header')", "not ready\nlive"))
      yield* page.until(`document.querySelector("main > .drain")?.dataset.stage === "Draining"`)
      yield* page.until(shows("document.querySelector('main > .drain')", "waiting for 2 of "))
      yield* page.until(shows("document.querySelector('main > .drain')", "oldest: "))
      // the drain has a picture: a point for each time that it was told
      yield* page.until(
        `document.querySelector("main > .drain polyline")?.getAttribute("points").split(" ").length > 3`
      )
      assert.match(
        String(yield* page.evaluate(`document.querySelector("main > .drain svg").getAttribute("aria-label")`)),
        /^waited for over time: \d+ at first, 2 after /
      )
      assert.deepStrictEqual(yield* page.inaccessible, [])
      yield* page.until(shows(section("tcp"), "Closing"))
      assert.strictEqual(yield* page.evaluate("document.title"), "service: draining")

      const exit = yield* service.exit
      assert.strictEqual(exit.code, 124, exit.stderr.join("\n"))
      yield* page.until(`document.querySelector("#link").innerText === "closed; trying again"`)
      // what it knew of the process that has gone is shown as over
      yield* page.until(shows("document.querySelector('header')", "service\nover\nas it was at "))
      yield* page.until(shows(section("tcp"), "was Clos"))
      yield* page.until(shows("document.querySelector('main > .drain')", "was "))
      assert.notInclude(yield* page.text, " left\n")
      assert.strictEqual(yield* page.evaluate("document.title"), "service: over")
      assert.deepStrictEqual(yield* page.inaccessible, [])
      assert.deepStrictEqual(page.problems().filter((problem) => !problem.includes("ERR_")), [])

      // a process that comes back on the port is shown without a reload
      yield* Service.start({ ADMIN_PORT: String(service.admin) })
      yield* page.until(shows("document.querySelector('header')", "service\nready\nlive"))
      yield* page.until(`document.querySelector("#link")?.dataset.state === "live"`)
    }))

  it.live("hundreds of connections are summed up, filtered, and do not hide the other listeners; it reads on a phone", () =>
    Effect.gen(function*() {
      const local = NodeTcp.transport({ host: "127.0.0.1", port: 0 })
      const api = yield* Listener.listen(local, { name: "api", drain: { deadline: 0 } })
      const rpc = yield* Listener.listen(local, { name: "rpc", drain: { deadline: 0 } })
      let count = 0
      yield* Effect.forkScoped(
        Listener.serve(api, (connection) => connection.exchange(`GET /orders/${++count}?full=1`, Effect.never))
      )
      const admin = yield* HttpServing.routes(
        ListenerInspector.routes([api, rpc], { interval: "100 millis", limit: 50 })
      )
      const address = yield* api.address
      for (let i = 0; i < 200; i++) yield* connectTcp(address)
      const page = yield* Browser.open(`http://127.0.0.1:${admin.port}/listeners/page`)
      yield* page.until(shows(section("api"), "200 connections · 200 Active"))
      const rows = `${section("api")}.querySelectorAll("tbody tr").length`
      yield* page.until(shows(section("api"), "GET /orders/#"))
      yield* page.until(shows(section("api"), "127.0.0.0/24"))
      yield* page.until(shows(section("api"), "and 150 more"))
      assert.strictEqual(yield* page.evaluate(rows), 12)
      // the other listener is in sight
      yield* page.look({ width: 1200, height: 900 })
      yield* page.until(`${section("rpc")}.getBoundingClientRect().top < 900`)
      yield* page.evaluate(`${section("api")}.querySelector("button").click()`)
      yield* page.until(`${rows} === 50`)
      // it stays as it was chosen when the next inspection comes
      yield* page.until(`${section("api")}.querySelector("button").getAttribute("aria-expanded") === "true"`)
      const type = (text: string) =>
        page.evaluate(
          `document.querySelector("#filter").value = ${JSON.stringify(text)}, ` +
            `document.querySelector("#filter").dispatchEvent(new Event("input", { bubbles: true }))`
        )
      yield* type("/ORDERS/7?")
      yield* page.until(`${rows} === 1`)
      yield* page.until(shows(section("api"), "1 of 50 listed match"))
      yield* type("")
      yield* page.until(`${rows} === 50`)
      for (const dark of [false, true]) {
        yield* page.look({ width: 390, height: 800, dark })
        yield* page.until("document.documentElement.scrollWidth <= 390")
        assert.deepStrictEqual(yield* page.inaccessible, [])
      }
      assert.deepStrictEqual(page.problems(), [])
    }))

  it.live("a label is text, whatever a client has put into it, and the page runs nothing but its own script", () =>
    Effect.gen(function*() {
      const markup = "<img src=x onerror=alert(1)><script>alert(2)</script>"
      const listener = yield* Listener.listen(NodeTcp.transport({ host: "127.0.0.1", port: 0 }), {
        name: "<b>api</b>",
        drain: { deadline: 0 }
      })
      yield* Effect.forkScoped(Listener.serve(listener, (connection) => connection.exchange(markup, Effect.never)))
      const admin = yield* HttpServing.routes(ListenerInspector.routes([listener], { interval: "100 millis" }))
      yield* connectTcp(yield* listener.address)
      const page = yield* Browser.open(`http://127.0.0.1:${admin.port}/listeners/page`)
      yield* page.until(shows("document.querySelector('tbody')", markup))
      yield* page.until(shows("document.querySelector('section')", "<b>api</b>"))
      assert.strictEqual(yield* page.evaluate(`document.querySelectorAll("img, main script, main b").length`), 0)
      assert.deepStrictEqual(page.problems(), [])
      yield* page.evaluate(
        `document.body.append(document.createElement("script")), document.body.lastChild.text = "window.ran = 1"`
      )
      assert.strictEqual(yield* page.evaluate("window.ran"), undefined)
    }))
})

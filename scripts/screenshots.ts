/**
 * Pictures of the inspector's page for the documentation: a service that serves, one under load, one that drains, and
 * one that has gone. Needs a Chromium.
 *
 *     node scripts/screenshots.ts
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Browser from "../examples/test/support/browser.ts"
import * as Service from "../examples/test/support/serviceExample.ts"

const folder = Path.resolve(import.meta.dirname, "../docs/images/inspector")

const connect = (port: number, text: string) =>
  Effect.acquireRelease(
    Effect.callback<Net.Socket>((resume) => {
      const socket = Net.connect({ port, host: "127.0.0.1" }).on("error", () => {})
      socket.once("connect", () => {
        socket.write(text)
        resume(Effect.succeed(socket))
      })
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

const program = Effect.gen(function*() {
  Fs.mkdirSync(folder, { recursive: true })
  const service = yield* Service.start({ DRAIN_DEADLINE_MS: "12000", LAME_DUCK_MS: "1500" })
  const page = yield* Browser.open(`http://127.0.0.1:${service.admin}/listeners/page`)
  const save = (name: string, width = 1000, height = 640, dark = false) =>
    Effect.gen(function*() {
      yield* page.look({ width, height, dark })
      // two frames, so that what was laid out anew is painted
      yield* page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
      Fs.writeFileSync(Path.join(folder, `${name}.png`), yield* page.screenshot)
    })

  yield* page.until(`document.querySelector("#link")?.dataset.state === "live"`)
  yield* connect(service.http, request("/slow?ms=60000"))
  yield* connect(service.tcp, "sleep 60000\n")
  yield* page.until(`document.querySelectorAll("tbody tr").length >= 3`)
  yield* save("serving", 1000, 480)

  for (let n = 0; n < 40; n++) {
    yield* connect(service.http, request(n % 4 === 0 ? "/never" : `/slow?ms=${2000 + n * 150}`))
  }
  yield* page.until(
    `document.body.innerText.includes("42 connections") || document.querySelectorAll("tbody tr").length > 12`
  )
  yield* save("busy")
  yield* save("phone", 390, 720, true)

  yield* service.sigterm
  yield* page.until(`document.querySelector("main > .drain")?.dataset.stage === "Draining"`)
  yield* page.until(
    `document.querySelectorAll("main > .drain polyline")[0]?.getAttribute("points").split(" ").length > 10`
  )
  yield* save("draining")
  yield* service.exit
  yield* page.until(`document.querySelector("main")?.className === "over"`)
  yield* save("over")
})

await Effect.runPromise(Effect.scoped(program))

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Browser from "./support/browser.ts"
import * as Example from "./support/httpExample.ts"

const worker = (slot: number, generation: number) =>
  `document.querySelector('[data-worker="${slot}"][data-generation="${generation}"][data-state="Accepting"]')`

describe("the page of examples/workers.ts in a browser", { tags: ["chromium", "bound-sockets"] }, () => {
  it.live("workers, their generations and listeners, and a replacement as it runs", () =>
    Effect.gen(function*() {
      const program = yield* Example.launch({ WORKERS: "2" }, "workers.ts")
      const { admin } = (yield* program.event("open"))["ports"] as { readonly admin: number }
      const page = yield* Browser.open(`http://127.0.0.1:${admin}/listeners/page`)
      for (const slot of [0, 1]) {
        yield* page.until(`${worker(slot, 0)}?.querySelector('[data-listener="http"]') != null`)
      }
      assert.strictEqual(yield* page.evaluate("document.querySelector('[data-replacement]')"), null)
      yield* page.evaluate(`
        globalThis.seen = new Set()
        new MutationObserver(() => {
          const running = document.querySelector("[data-replacement]")
          if (running) seen.add(running.dataset.replacement + ": " + running.innerText.trim())
        }).observe(document.querySelector("main"), { childList: true, subtree: true })
        undefined`)
      yield* program.signal("SIGUSR2")
      yield* program.event("replaced")
      for (const slot of [0, 1]) yield* page.until(`${worker(slot, 1)} != null`)
      yield* page.until("document.querySelector('[data-replacement]') === null")
      assert.match(
        String(yield* page.evaluate("Array.from(seen).join()")),
        /1: replacing · generation 1 has [01] of 2 workers/
      )
      assert.deepStrictEqual(page.problems(), [])
      assert.deepStrictEqual(yield* page.inaccessible, [])
      yield* program.signal("SIGTERM")
      yield* program.exit
    }))
})

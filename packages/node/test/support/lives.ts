/** A program that opens, serves and closes again and again, and what it has left then. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Process from "./process.ts"

const file = new URL("../programs/cycles.ts", import.meta.url)

/** What the program measures that must be exactly as before, and what it counts on its heap. */
interface Measured {
  readonly open: unknown
  readonly heap: Record<string, number>
}

/** `lives` lives of each kind of listener leave nothing behind. */
export const livesLeaveNothing = (lives: number): void => {
  describe(`${lives} times opened, served and closed`, () => {
    it.live.each(["new listeners", "one listener", "datagrams"])(
      "%s: descriptors, handles, timers, process listeners and fibers are back to the start",
      (how) =>
        Effect.gen(function*() {
          const program = yield* Process.start(file, {
            args: [how, String(lives)],
            env: { NODE_OPTIONS: "--disable-warning=ExperimentalWarning" }
          })
          const measured = yield* program.event("measured")
          // what the program prints
          const { after, before } = measured as unknown as { readonly before: Measured; readonly after: Measured }
          assert.deepStrictEqual(after.open, before.open)
          for (const [what, count] of Object.entries(after.heap)) {
            // the last cycles may still be held by what the engine has not dropped
            assert.isAtMost(count, before.heap[what]! + 10, what)
          }
          const exit = yield* program.exit
          assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
          // no warning about too many listeners either
          assert.deepStrictEqual(exit.stderr, [])
        })
    )
  })
}

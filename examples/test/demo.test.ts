import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Process from "../../packages/node/test/support/process.ts"

describe("the demo", { tags: ["bound-sockets"] }, () => {
  it.live("ours is as promised, and the others are counted", () =>
    Effect.gen(function*() {
      const exit = yield* (yield* Process.start(new URL("../demo/main.ts", import.meta.url))).exit
      const text = exit.stdout.join("\n")
      assert.strictEqual(exit.code, 0, text)
      assert.match(text, /draining \d+ of 503 · \d s left · oldest never \d s from 127\.0\.0\.1:\d+/)
      assert.match(text, /tcp: deadline exceeded after [5-7]\.\d s \(SIGTERM\)/)
      assert.match(text, /cut #\d+ 127\.0\.0\.1:\d+ tcp Active, never /)
      assert.match(text, /refused +0 +\d+ +\d+\n +reset or lost +0 +\d+ +\d+\n +hung +0 /)
      assert.match(text, /the server ended +at \d\.\d s, code 124 +did not end/)
      assert.deepStrictEqual(exit.stderr, [])
    }))
})

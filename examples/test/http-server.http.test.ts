import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Example from "./support/httpExample.ts"
import { httpServerSuite } from "./support/httpServerSuite.ts"

httpServerSuite("http")

describe("examples/http-server.ts, told nonsense", () => {
  it.live.each(
    [["PORT", "http"], ["HOST", "256.1.1.1"], ["TLS_KEY", "/nowhere/key.pem"], [
      "TLS_CERT",
      "/nowhere/cert.pem"
    ]] as const
  )("%s=%s: exit code 1, and the variable is named on stderr", ([variable, value]) =>
    Effect.gen(function*() {
      const exit = yield* (yield* Example.launch({ [variable]: value })).exit
      assert.strictEqual(exit.code, 1)
      assert.include(exit.stderr.join("\n"), variable)
      assert.deepStrictEqual(exit.stdout, [])
    }))
})

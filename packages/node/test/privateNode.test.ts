import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { missingFor, type PrivateApi, privateApis } from "../src/internal/platform/privateNode.ts"
import * as Process from "./support/process.ts"

describe("what is used of Node beyond its documentation", () => {
  it.each(privateApis.map((api) => [api.name, api] as const))("is there: %s", (_name, api) => {
    assert.isTrue(api.present())
  })

  it("is named where it is missing, with what would happen", () => {
    const api = (more: Partial<PrivateApi>): PrivateApi => ({
      name: "a hook",
      usedFor: "a test",
      essentialTo: "tls",
      without: "all would be lost",
      present: () => false,
      ...more
    })
    const throws = () => {
      throw new Error("no such thing")
    }
    assert.isUndefined(missingFor("tls", [api({ present: () => true }), api({ essentialTo: undefined })]))
    assert.isUndefined(missingFor("http", [api({})]))
    for (const present of [() => false, throws]) {
      assert.strictEqual(
        missingFor("tls", [api({ present })]),
        `tls on Node ${process.version} (without a hook, all would be lost)`
      )
    }
  })

  it.live.each(
    [
      ["_parent", "NodeTls", "_parent of tls.TLSSocket"],
      ["_last", "NodeHttp", "_last of http.ServerResponse"],
      ["listening", "NodeHttp", "the listener of \"listening\" of http.Server"],
      ["nothing", "NodeTls", undefined],
      ["nothing", "NodeHttp", undefined]
    ] as const
  )("a Node without %s: %s fails its open with NotSupported", ([missing, module, named]) =>
    Effect.gen(function*() {
      const file = new URL("./programs/withoutPrivate.ts", import.meta.url)
      const outcome = yield* (yield* Process.start(file, { args: [missing, module] })).event("outcome")
      if (named === undefined) assert.deepInclude(outcome, { _tag: "opened" })
      else {
        assert.deepInclude(outcome, { _tag: "NotSupported" })
        assert.include(String(outcome["feature"]), named)
      }
    }))
})

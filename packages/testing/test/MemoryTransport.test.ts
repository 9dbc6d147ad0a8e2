import type { Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

const text = (chunks: ReadonlyArray<Uint8Array | string>): string =>
  chunks.map((chunk) => typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk)).join("")

describe("MemoryTransport", () => {
  it("works in Effect.runSync, from bind to goodbye", () => {
    const program = Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const bound: Transport.BoundTransport = yield* transport.bind
      const client = yield* transport.connect
      const connection = yield* bound.accept
      const reader = yield* connection.socket.reader
      const writer = yield* connection.socket.writer
      yield* client.write("hello")
      const got = text(yield* reader.pull)
      yield* writer.write(`echo ${got}`)
      yield* client.end
      yield* connection.goodbye("none")
      return [yield* client.readAllText, yield* client.ended, yield* transport.open] as const
    })
    assert.deepStrictEqual(Effect.runSync(Effect.scoped(program)), ["echo hello", "Fin", 0])
  })
})

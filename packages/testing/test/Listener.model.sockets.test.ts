import { describe, it } from "@effect/vitest"
import * as Model from "./support/model.ts"
import { commands } from "./support/modelCommands.ts"
import { tcp } from "./support/nodeSubjects.ts"

describe("a listener and its state table agree", () => {
  it.live.prop(
    "over TCP, whatever comes in which order",
    { commands },
    ({ commands }) => Model.run(tcp, commands),
    { timeout: 120_000, arbitrary: { runs: 200, size: 100 } }
  )
})

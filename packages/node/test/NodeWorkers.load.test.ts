/** A replacement under load, in short; `NodeWorkers.load.long.test.ts` has every protocol. */
import { describe, it } from "@effect/vitest"
import { replaceUnderLoad } from "./support/workerRounds.ts"

describe("a replacement under clients that never stop", () => {
  it.live.each(["https", "tcp"] as const)(
    "%s: no request is lost, and every generation answers",
    (kind) => replaceUnderLoad(kind, 1)
  )
})

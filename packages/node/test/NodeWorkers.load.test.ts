/** A replacement under load, in short; `NodeWorkers.load.long.test.ts` has every protocol. */
import { describe, it } from "@effect/vitest"
import { replaceUnderLoad, stopUnderLoad } from "./support/workerRounds.ts"

describe("a replacement under clients that never stop", () => {
  it.live.each(["https", "tcp"] as const)(
    "%s: no request is lost, and every generation answers",
    (kind) => replaceUnderLoad(kind, 1)
  )
})

// `NodeWorkers.endurance.test.ts` holds how many of ten stops reset none
describe("a final stop under 24 clients that never stop", () => {
  it.live("answers all that are let in, and the sum of all is what clients have connected", () => stopUnderLoad("tcp"))
})

/** A replacement under load, over each protocol; `NodeWorkers.endurance.test.ts` has twenty of each. */
import { describe, it } from "@effect/vitest"
import { replaceUnderLoad } from "./support/workerRounds.ts"

describe("a replacement under clients that never stop", () => {
  it.live.each(["http", "https", "http2", "webSocket", "tcp", "tls", "unix", "rpc"] as const)(
    "%s: no request is lost, and every generation answers",
    (kind) => replaceUnderLoad(kind, 1)
  )
})

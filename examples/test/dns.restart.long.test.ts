import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { replaceUnderLoad, stopUnderLoad } from "./support/dnsRestarts.ts"

describe("examples/dns.ts, restarted at length", () => {
  it.live("10 times SIGTERM under 2,000 queries a second: every one is answered that had reached the machine", () =>
    Effect.repeat(stopUnderLoad, { times: 9 }))

  it.live("replaced 20 times while another process holds its sockets: every query is answered", () =>
    replaceUnderLoad(20))
})

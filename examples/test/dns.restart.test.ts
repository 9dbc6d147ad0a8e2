import { describe, it } from "@effect/vitest"
import { replaceUnderLoad, stopUnderLoad } from "./support/dnsRestarts.ts"

describe("examples/dns.ts, restarted", () => {
  it.live("SIGTERM under 2,000 queries a second: every one is answered that had reached the machine", () =>
    stopUnderLoad)

  it.live("replaced 2 times while another process holds its sockets: every query is answered", () =>
    replaceUnderLoad(2))
})

import { addEqualityTesters } from "@effect/vitest"
import { afterAll, assert } from "vitest"

addEqualityTesters()

const listening = (): number => process.getActiveResourcesInfo().filter((name) => name === "TCPServerWrap").length

// A test file that leaves a server behind left a listener open: the thing this library is about.
afterAll(async () => {
  // a closed handle is still listed until the event loop has turned
  for (let turn = 0; turn < 100 && listening() > 0; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.strictEqual(listening(), 0, "TCP servers are still listening at the end of this test file")
})

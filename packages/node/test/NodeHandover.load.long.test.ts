/** Hand-overs and stops under load, over every protocol; `NodeHandover.endurance.test.ts` has dozens of them. */
import { handoverLoadSuite } from "./support/handoverLoad.ts"

handoverLoadSuite({
  handedOver: [["http", 3], ["tls", 3], ["unix", 3], ["tcp", 3], ["http2", 1], ["webSocket", 1]],
  called: 1,
  connectedAnew: 3,
  stopped: ["http", "tls", "tcp"],
  slowTurns: ["http", "tls", "unix"]
})

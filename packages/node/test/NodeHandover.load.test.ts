/** Hand-overs and stops under load, in short; `NodeHandover.load.long.test.ts` has every protocol. */
import { handoverLoadSuite } from "./support/handoverLoad.ts"

handoverLoadSuite({
  handedOver: [["http", 1], ["tls", 1]],
  called: 0,
  connectedAnew: 1,
  stopped: ["tls"],
  slowTurns: ["tls"]
})

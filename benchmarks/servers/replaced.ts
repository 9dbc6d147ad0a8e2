/**
 * Several processes on one port, which are replaced when the harness says so:
 * `node replaced.ts <workers | rr | none | reusePort | nginx | haproxy> <how many>`.
 * A proxy is reloaded in front of as many processes, which stay.
 */
import { announce, answerAlso } from "../support/childServer.ts"
import * as Fleets from "../support/fleets.ts"

const [kind = "", count = ""] = process.argv.slice(2)
const fleet = await Fleets.start(kind, Number(count))

answerAlso({
  cpu: () => Fleets.cpu(fleet.pids(), "cpu"),
  user: () => Fleets.cpu(fleet.pids(), "user"),
  replaced: async () => {
    await fleet.replace()
    return 1
  }
})
process.once("exit", fleet.kill)
process.once("SIGTERM", () => process.exit(0))
announce(fleet.port)

/** `node:http` closed by stoppable. */
import type * as Http from "node:http"
import stoppable from "stoppable"
import { nodeServer } from "../../support/httpServers.ts"

const server = stoppable(nodeServer("http") as Http.Server, 10_000)
process.once("SIGTERM", () => server.stop())

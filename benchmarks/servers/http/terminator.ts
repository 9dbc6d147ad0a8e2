/** `node:http` closed by http-terminator. */
import { createHttpTerminator } from "http-terminator"
import type * as Http from "node:http"
import { nodeServer } from "../../support/httpServers.ts"

const server = nodeServer("http") as Http.Server
const terminator = createHttpTerminator({ server, gracefulTerminationTimeout: 10_000 })
process.once("SIGTERM", () => void terminator.terminate())

/** `node:http` and its likes alone: `node bare.ts <http | https | h2>`. Closed by what Node offers for it. */
import { nodeServer } from "../../support/httpServers.ts"

const server = nodeServer(process.argv[2])
process.once("SIGTERM", () => server.close())

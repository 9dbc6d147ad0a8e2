import * as Timers from "node:timers/promises"
import { clients } from "./support/held.ts"
import { start } from "./support/server.ts"
for (const kind of process.argv.slice(2)) {
  const server = await start({ program: "replaced.ts", args: [kind, "2"], anywhere: true })
  const load = await clients("replacements.ts", [server.port, 16])
  await Timers.setTimeout(200)
  const t = performance.now()
  await server.ask("replaced")
  console.log(kind, Math.round(performance.now() - t), await server.ask("cpu"), await load.tell("stop"))
  await load.end()
  await server.end(5000)
}

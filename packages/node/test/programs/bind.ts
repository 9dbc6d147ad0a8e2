/**
 * Binds as some user, and prints how that went: `node bind.ts <tcp|unix> <options as JSON>`.
 *
 * With `RUN_AS`, as the user of that number. With `EXHAUST`, without a single
 * file descriptor left.
 */
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeUnix from "@effect-listener/node/NodeUnix"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"

const [kind, json = "{}"] = process.argv.slice(2)
const options = JSON.parse(json)
const { bind } = kind === "tcp" ? NodeTcp.transport(options) : NodeUnix.transport(options)

if (process.env["RUN_AS"] !== undefined) {
  process.setgid!(Number(process.env["RUN_AS"]))
  process.setuid!(Number(process.env["RUN_AS"]))
}
const exhaust = (): void => {
  try {
    while (true) Fs.openSync("/dev/null", "r")
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EMFILE") throw cause
  }
}
// loaded before the last descriptor is gone: printing needs none
process.stdout.write("")
if (process.env["EXHAUST"] !== undefined) exhaust()

const outcome = await Effect.runPromise(Effect.scoped(Effect.match(bind, {
  onFailure: (error): object => error,
  onSuccess: () => ({ _tag: "Bound" })
})))
process.stdout.write(`${JSON.stringify({ event: "outcome", ...outcome })}\n`)

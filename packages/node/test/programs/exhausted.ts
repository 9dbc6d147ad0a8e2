/**
 * A server that runs out of file descriptors when a client says so. Each line
 * is an exchange: `exhaust` takes every descriptor that is free, `free` gives
 * them back, `cpu` is answered with the CPU time used so far in microseconds,
 * `sleep N` after N ms, and everything else with itself.
 */
import * as Listener from "@effect-listener/core/Listener"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Fs from "node:fs"
import { answerLines } from "../support/handlers.ts"
import { targetOf } from "../support/listening.ts"

let taken: Array<number> = []

const exhaust = (): string => {
  while (true) {
    try {
      taken.push(Fs.openSync("/dev/null", "r"))
    } catch {
      return `took ${taken.length}`
    }
  }
}

const free = (): string => {
  for (const descriptor of taken) Fs.closeSync(descriptor)
  taken = []
  return "free"
}

const cpu = (): string => {
  const { system, user } = process.cpuUsage()
  return String(system + user)
}

const handler = answerLines((line) =>
  Effect.suspend(() => {
    if (line === "exhaust") return Effect.sync(exhaust)
    if (line === "free") return Effect.sync(free)
    if (line === "cpu") return Effect.sync(cpu)
    const millis = /^sleep (\d+)$/.exec(line)?.[1]
    return millis === undefined ? Effect.succeed(line) : Effect.as(Effect.sleep(Number(millis)), line)
  })
)

const program = Effect.gen(function*() {
  const listener = yield* Listener.listen(NodeTcp.transport({ host: "127.0.0.1", port: 0 }))
  yield* Console.log(JSON.stringify({ event: "open", ...targetOf(yield* listener.address) }))
  yield* Listener.serve(listener, handler, { idle: "pull" })
})

NodeMain.runMain(Effect.provideService(Effect.scoped(program), Logger.LogToStderr, true))

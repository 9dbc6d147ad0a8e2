/**
 * Prints what becomes of a cluster's messages when its runners are restarted,
 * with the cluster example and with Effect's own server:
 * `node examples/test/programs/clusterRestarts.ts [rounds]`, 5 by default.
 */
import * as Effect from "effect/Effect"
import { type Figures, type Kind, type Orders, run, type Way } from "../support/clusterRestarts.ts"

const rounds = Number(process.argv[2] ?? 5)

const cases: ReadonlyArray<readonly [string, Kind]> = [
  ["examples/cluster.ts, with RpcListener", "example"],
  ["Effect's own, NodeClusterSocket and NodeRuntime", "effect"]
]

const columns: ReadonlyArray<readonly [string, Way]> = [["persisted", "Keep"], ["volatile", "Send"], [
  "passed on",
  "Pass"
]]

const lines: ReadonlyArray<readonly [string, (orders: Orders) => number]> = [
  ["sent", ({ sent }) => sent],
  ["answered", ({ answered }) => answered],
  ["never executed", ({ executedByNobody }) => executedByNobody],
  ["executed twice", ({ executedTwice }) => executedTwice]
]

const print = (name: string, { exitCodes, longestAnswer, longestExit, orders, restarts }: Figures) => {
  const row = (label: string, cells: ReadonlyArray<string | number>) =>
    console.log(`  ${label.padEnd(22)}${cells.map((cell) => String(cell).padStart(12)).join("")}`)
  console.log(name)
  row("messages", columns.map(([title]) => title))
  for (const [label, value] of lines) row(label, columns.map(([, way]) => value(orders[way])))
  console.log(`  ${restarts} restarts, exit codes ${Array.from(new Set(exitCodes)).join(", ")}`)
  console.log(`  longest from SIGTERM to the end of the process: ${Math.round(longestExit)} ms`)
  console.log(`  longest from a message to its answer: ${Math.round(longestAnswer)} ms\n`)
}

console.log("three runners restarted one after the other, 40 messages of 20 to 80 ms under way all the time\n")
for (const [name, kind] of cases) {
  print(name, await Effect.runPromise(Effect.scoped(run(kind, { rounds, inFlight: 40 }))))
}

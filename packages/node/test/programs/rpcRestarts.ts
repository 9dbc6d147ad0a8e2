/**
 * What becomes of RPC calls when servers are restarted under them, with this
 * package and with Effect's own: `node rpcRestarts.ts [restarts]`, 20 by default.
 */
import * as Effect from "effect/Effect"
import { type Figures, run, type Sides } from "../support/rpcRestarts.ts"

const restarts = Number(process.argv[2] ?? 20)

const cases: ReadonlyArray<readonly [string, Sides]> = [
  ["RpcListener, server and client", { server: "listener", client: "listener" }],
  ["RpcListener's server, Effect's client", { server: "listener", client: "effect" }],
  ["Effect's own, server and client", { server: "effect", client: "effect" }]
]

const columns: ReadonlyArray<readonly [string, (figures: Figures) => number | string]> = [
  ["restarts", ({ restarts }) => restarts],
  ["calls", ({ calls }) => calls],
  ["answered", ({ answered }) => answered],
  ["failed, never executed", ({ failedUnexecuted }) => failedUnexecuted],
  ["executed, answer lost", ({ lost }) => lost],
  ["executed twice", ({ executedTwice }) => executedTwice],
  ["exit codes", ({ exits }) => Array.from(new Set(exits)).join(", ")]
]

const program = Effect.gen(function*() {
  console.log(`two servers restarted in turn, 100 calls of 20 to 80 ms in flight all the time\n`)
  for (const [name, sides] of cases) {
    const figures = yield* Effect.scoped(run(sides, { restarts, inFlight: 100, between: 500 }))
    console.log(name)
    for (const [label, value] of columns) console.log(`  ${label.padEnd(24)}${String(value(figures)).padStart(10)}`)
  }
})

await Effect.runPromise(program)

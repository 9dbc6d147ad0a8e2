/** Two RPC servers that are restarted in turn under a client that never stops calling. */
import * as RpcListener from "@effect-listener/core/RpcListener"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcClient from "effect/rpc/RpcClient"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { folder, until } from "./listening.ts"
import * as Process from "./process.ts"

export class Counted extends RpcGroup.make(
  Rpc.make("work", { payload: { id: Schema.Int, millis: Schema.Int }, success: Schema.Int })
) {}

/** What serves and what calls: this package's half, or Effect's own. */
export interface Sides {
  readonly server: "listener" | "effect"
  readonly client: "listener" | "effect"
}

export interface Figures {
  readonly restarts: number
  readonly calls: number
  readonly answered: number
  /** Failed, and no server had begun to execute it: it can be made again. */
  readonly failedUnexecuted: number
  /** Failed, although a server had executed it, which it cannot tell. */
  readonly lost: number
  readonly executedTwice: number
  /** Exit codes of the servers that were ended by SIGTERM. */
  readonly exits: ReadonlyArray<number | undefined>
}

const server = (kind: Sides["server"], port: number, ledger: string) =>
  Effect.gen(function*() {
    const program = yield* Process.start(new URL("../programs/rpcServer.ts", import.meta.url), {
      args: [kind, String(port), ledger]
    })
    return { program, port: yield* program.port }
  })

type Work = (id: number) => Effect.Effect<unknown, unknown>

/** Answers nothing that takes no time, and nothing that takes long. */
const millis = (id: number): number => 20 + id % 60

const build = (protocol: Layer.Layer<RpcClient.Protocol, never, RpcSerialization.RpcSerialization>) =>
  Effect.flatMap(
    Layer.build(Layer.fresh(Layer.provide(protocol, RpcSerialization.layerNdjson))),
    (context) => Effect.provideContext(RpcClient.make(Counted), context)
  )

const socket = (port: number) => ({ port, host: "127.0.0.1", openTimeout: "1 second" as const })

const clients: Record<Sides["client"], (ports: readonly [number, number]) => Effect.Effect<Work, never, Scope.Scope>> =
  {
    listener: ([a, b]) =>
      Effect.map(
        build(Layer.orDie(RpcListener.layerClientProtocol({
          servers: [NodeSocket.makeNet(socket(a)), NodeSocket.makeNet(socket(b))]
        }))),
        (client): Work => (id) => client.work({ id, millis: millis(id) })
      ),
    // it knows one address only: one client a server, and calls go to each in turn
    effect: (ports) =>
      Effect.map(
        Effect.forEach(ports, (port) =>
          build(Layer.orDie(Layer.provide(
            RpcClient.layerProtocolSocket({ retryPolicy: Schedule.spaced("100 millis") }),
            NodeSocket.layerNet(socket(port))
          )))),
        (both): Work => (id) => both[id % 2]!.work({ id, millis: millis(id) })
      )
  }

/** Restarts the servers in turn while so many calls are in flight all the time. */
export const run = Effect.fnUntraced(function*(
  sides: Sides,
  options: {
    readonly restarts: number
    readonly inFlight: number
    /** How many calls are answered between two restarts. */
    readonly between: number
  }
) {
  const ledger = Path.join(yield* folder(), "executed")
  Fs.writeFileSync(ledger, "")
  const servers = [yield* server(sides.server, 0, ledger), yield* server(sides.server, 0, ledger)]
  const work = yield* clients[sides.client]([servers[0]!.port, servers[1]!.port])

  const answered = new Set<number>()
  const failed = new Set<number>()
  let calls = 0
  let stopping = false
  const call = Effect.suspend(() => {
    const id = calls++
    return Effect.flatMap(Effect.exit(work(id)), (exit) => {
      if (Exit.isSuccess(exit)) {
        answered.add(id)
        return Effect.void
      }
      failed.add(id)
      // a server that is away fails calls at once: no need to ask a million times
      return Effect.sleep(5)
    })
  })
  const calling = yield* Effect.forkChild(Effect.forEach(
    Array.from({ length: options.inFlight }),
    () => Effect.whileLoop({ while: () => !stopping, body: () => call, step: () => {} }),
    { concurrency: "unbounded", discard: true }
  ))

  const answers = Effect.suspend(() => {
    const enough = answered.size + options.between
    return until(`${options.between} more calls are answered`, () => answered.size >= enough)
  })

  const exits: Array<number | undefined> = []
  for (let restart = 0; restart < options.restarts; restart++) {
    yield* answers
    const { port, program } = servers[restart % 2]!
    yield* program.signal("SIGTERM")
    exits.push((yield* program.exit).code)
    servers[restart % 2] = yield* server(sides.server, port, ledger)
  }
  yield* answers
  stopping = true
  yield* Fiber.join(calling)
  for (const { program } of servers) {
    yield* program.signal("SIGTERM")
    yield* program.exit
  }

  const executed = new Map<number, number>()
  for (const line of Fs.readFileSync(ledger, "utf8").split("\n")) {
    if (line !== "") executed.set(Number(line), (executed.get(Number(line)) ?? 0) + 1)
  }
  const figures: Figures = {
    restarts: options.restarts,
    calls,
    answered: answered.size,
    failedUnexecuted: Array.from(failed).filter((id) => !executed.has(id)).length,
    lost: Array.from(failed).filter((id) => executed.has(id)).length,
    executedTwice: Array.from(executed.values()).filter((times) => times > 1).length,
    exits
  }
  return figures
})

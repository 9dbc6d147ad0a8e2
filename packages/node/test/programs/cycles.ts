/**
 * Opens, serves, and closes, again and again: `node cycles.ts <how> <cycles>`,
 * each cycle with a client that is served, one that is idle, and one that is
 * in flight when the close begins. Prints what the process has open before,
 * after a few cycles, and at the end.
 */
import * as DatagramListener from "@effect-listener/core/DatagramListener"
import * as Listener from "@effect-listener/core/Listener"
import * as NodeUdp from "@effect-listener/node/NodeUdp"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Dgram from "node:dgram"
import * as Fs from "node:fs"
import * as Net from "node:net"
import { queryObjects } from "node:v8"
import { answerLines } from "../support/handlers.ts"
import { connect, kinds, openPort, quiet, start, untilStage } from "../support/listening.ts"
import * as NetClient from "../support/netClient.ts"
import { turns } from "../support/resources.ts"
import { client } from "../support/udpClient.ts"

const [how = "", count = ""] = process.argv.slice(2)

const drain = { idleGrace: 1 }

const handler = answerLines((line) => line === "slow" ? Effect.as(Effect.sleep(1), line) : Effect.succeed(line))

/** One life of a listener that is open. */
const cycle = (listener: Listener.Listener) =>
  Effect.gen(function*() {
    const serving = yield* start(Listener.serve(listener, handler, { idle: "pull" }))
    const served = yield* connect(listener)
    const idle = yield* connect(listener)
    const busy = yield* connect(listener)
    if ((yield* NetClient.ask(served, "ping")) !== "ping") return yield* Effect.die(new Error("not served"))
    served.socket.end()
    yield* busy.send("slow\n")
    const closing = yield* start(listener.close())
    yield* untilStage(listener, "Closed")
    yield* Fiber.join(closing)
    yield* Fiber.join(serving)
    const endings = yield* Effect.forEach([served, idle, busy], (client) => client.ending)
    if (endings.some((ending) => ending !== "FIN")) return yield* Effect.die(new Error(endings.join()))
  }).pipe(Effect.scoped)

/** One life of a datagram listener: a datagram that is answered, and one that waits in the kernel when the close begins. */
const datagramCycle = Effect.gen(function*() {
  const listener = yield* DatagramListener.listen(NodeUdp.transport({ host: "127.0.0.1", port: 0 }))
  const serving = yield* start(
    DatagramListener.serve(listener, (datagram, reply) => Effect.andThen(Effect.sleep(1), reply(datagram.payload)))
  )
  const port = yield* openPort(listener)
  const sender = yield* client()
  yield* sender.send("first", port)
  yield* sender.answered(1)
  yield* sender.send("last", port)
  yield* listener.close()
  yield* Fiber.join(serving)
  yield* sender.answered(2)
}).pipe(Effect.scoped)

const kindOf = (i: number) => kinds[i % kinds.length]!

/**
 * What the process has: descriptors, active resources by type, listeners of
 * `process` by event, and the fibers, sockets and servers on its heap.
 */
const measure = Effect.withFiber((fiber) =>
  Effect.gen(function*() {
    // what has just been closed is gone with the next turns
    yield* turns(10)
    const resources: Record<string, number> = {}
    for (const type of process.getActiveResourcesInfo()) resources[type] = (resources[type] ?? 0) + 1
    const listeners: Record<string, number> = {}
    for (const event of process.eventNames()) listeners[String(event)] = process.listenerCount(event)
    const heap = {
      // every fiber is made by one constructor, which has no public name
      fibers: queryObjects(fiber.constructor),
      sockets: queryObjects(Net.Socket),
      servers: queryObjects(Net.Server),
      datagramSockets: queryObjects(Dgram.Socket)
    }
    return { open: { descriptors: Fs.readdirSync("/dev/fd").length, resources, listeners }, heap }
  })
)

const run = (cycles: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    if (how === "datagrams") {
      for (let i = 0; i < cycles; i++) yield* datagramCycle
    } else if (how === "new listeners") {
      for (let i = 0; i < cycles; i++) {
        const listener = Effect.flatMap(kindOf(i).transport, (transport) => Listener.listen(transport, { drain }))
        yield* Effect.scoped(Effect.flatMap(listener, cycle))
      }
    } else {
      const transport = yield* kindOf(0).transport
      const listener = yield* Listener.make(transport, { drain })
      for (let i = 0; i < cycles; i++) {
        yield* listener.open
        yield* cycle(listener)
        yield* listener.reset
      }
    }
  }).pipe(Effect.scoped, Effect.orDie, quiet)

const program = Effect.gen(function*() {
  yield* run(10)
  const before = yield* measure
  yield* run(Number(count))
  yield* Console.log(JSON.stringify({ event: "measured", before, after: yield* measure }))
})

await Effect.runPromise(program)

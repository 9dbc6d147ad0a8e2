import * as Listener from "@effect-listener/core/Listener"
import * as ListenerError from "@effect-listener/core/ListenerError"
import type { Transport } from "@effect-listener/core/Transport"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeUnix from "@effect-listener/node/NodeUnix"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { connect, descriptors, folder, kinds, quiet, start, targetOf, untilDescriptors } from "./support/listening.ts"
import { turns } from "./support/resources.ts"

/** A bare Node server on an address. */
const occupy = (options: Net.ListenOptions): Effect.Effect<Net.Server, Error, Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => Net.createServer()),
      (server) => Effect.sync(() => server.close())
    ),
    (server) =>
      Effect.callback((resume) => {
        server.on("error", (error) => resume(Effect.fail(error)))
        server.listen(options, () => resume(Effect.succeed(server)))
      })
  )

const stop = (server: Net.Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
  })

const used = [
  {
    name: "TCP",
    occupied: Effect.gen(function*() {
      const server = yield* occupy({ host: "127.0.0.1", port: 0 })
      const address = server.address()
      assert(address !== null && typeof address === "object")
      const transport = NodeTcp.transport({ host: "127.0.0.1", port: address.port })
      return { server, transport, address: `127.0.0.1:${address.port}` }
    })
  },
  {
    name: "Unix",
    occupied: Effect.gen(function*() {
      const path = Path.join(yield* folder(), "s")
      const server = yield* occupy({ path })
      return { server, transport: NodeUnix.transport({ path }), address: path }
    })
  }
]

describe.each(used)("open on an address in use, $name", ({ occupied }) => {
  it.live("fails AddressInUse with the address, leaves nothing, and the same listener opens once it is free", () =>
    Effect.gen(function*() {
      const { address, server, transport } = yield* occupied
      const before = descriptors()
      const listener = yield* quiet(Listener.make(transport))
      for (let i = 0; i < 3; i++) {
        const error = yield* Effect.flip(listener.open)
        assert.instanceOf(error, ListenerError.AddressInUse)
        assert.strictEqual(error.address, address)
        assert.strictEqual(yield* listener.state, "Created")
        yield* untilDescriptors(before)
      }
      yield* stop(server)
      yield* listener.open
      assert.strictEqual(yield* listener.state, "Open")
      yield* connect(listener)
    }))
})

const tick: Effect.Effect<void> = Effect.callback((resume) => process.nextTick(() => resume(Effect.void)))

describe.each(kinds)("open, $name", (kind) => {
  it.live("interrupted between bind and return: the address is free at once, and the same listener opens", () =>
    Effect.gen(function*() {
      const transport: Transport = yield* kind.transport
      const listener = yield* quiet(Listener.make(transport))
      yield* listener.open
      const { host, path, port } = {
        host: undefined,
        path: undefined,
        port: undefined,
        ...targetOf(yield* listener.address)
      }
      yield* listener.close()
      yield* listener.reset
      const before = descriptors()
      let bound = 0
      // Somewhere in these ticks and turns lies each moment of an open.
      for (const step of [tick, turns(1)]) {
        for (let steps = 0; steps < 12; steps++) {
          const opening = yield* start(listener.open)
          for (let i = 0; i < steps; i++) yield* step
          if ((yield* listener.state) === "Opening" && descriptors() > before) bound++
          yield* Fiber.interrupt(opening)
          if ((yield* listener.state) === "Open") {
            yield* listener.close()
            yield* listener.reset
            continue
          }
          assert.strictEqual(yield* listener.state, "Created")
          yield* Effect.scoped(occupy(path === undefined ? { host, port } : { path }))
          yield* untilDescriptors(before)
          if (path !== undefined) assert.deepStrictEqual(Fs.readdirSync(Path.dirname(path)), [])
        }
      }
      assert.isAtLeast(bound, 1)
      yield* listener.open
      yield* connect(listener)
    }))
})

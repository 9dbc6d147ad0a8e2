import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as ClientsDuringBlock from "./support/clientsDuringBlock.ts"
import { connect, descriptors, kinds, listen, start, tagOf, target, untilDescriptors } from "./support/listening.ts"
import * as NetClient from "./support/netClient.ts"
import { turns } from "./support/resources.ts"

describe.each(kinds)("accept, $name", (kind) => {
  it.live("close on a quiet port: three pending accepts fail OperationAborted, before any connection is drained", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      const listener = yield* listen(kind)
      yield* connect(listener)
      const holding = yield* start(Effect.scoped(Effect.gen(function*() {
        const connection = yield* listener.accept
        yield* connection.draining
        events.push("draining")
      })))
      // first come, first served
      for (let i = 1; i <= 3; i++) {
        yield* start(Effect.map(tagOf(Effect.scoped(listener.accept)), (tag) => events.push(tag)))
      }
      yield* listener.close()
      yield* Fiber.join(holding)
      assert.deepStrictEqual(events, ["OperationAborted", "OperationAborted", "OperationAborted", "draining"])
    }))

  it.live("close with two clients in the kernel's queue: the first two of three pending accepts get them", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind)
      const crowd = yield* ClientsDuringBlock.make(yield* target(listener), { clients: 2, request: "" })
      const welcome = Effect.scoped(Effect.gen(function*() {
        const { socket } = yield* listener.accept
        const { write } = yield* socket.writer
        yield* write("welcome\n")
      }))
      const accepts = yield* Effect.all([1, 2, 3].map(() => start(Effect.exit(tagOf(welcome)))))
      const report = yield* Effect.suspend(() => {
        crowd.arriveWhileBlocked()
        return listener.close()
      })
      assert.deepStrictEqual(yield* Effect.forEach(accepts, Fiber.join), [
        Exit.fail(undefined),
        Exit.fail(undefined),
        Exit.succeed("OperationAborted")
      ])
      assert.deepStrictEqual(yield* crowd.members, Array(2).fill({ text: "welcome\n", ending: "FIN" }))
      assert.strictEqual(report.swept, 2)
      assert.strictEqual(report.connections.total, 2)
    }))

  it.live("abort: three pending accepts fail OperationAborted, later ones ListenerFaulted at once; no socket is left", () =>
    Effect.gen(function*() {
      const before = descriptors()
      const listener = yield* listen(kind)
      const address = yield* target(listener)
      const accepts = yield* Effect.all([1, 2, 3].map(() => start(tagOf(Effect.scoped(listener.accept)))))
      yield* listener.abort
      // nothing runs between two synchronous effects but what the abort itself resumed
      assert.deepStrictEqual(
        accepts.map((fiber) => fiber.pollUnsafe()),
        Array(3).fill(Exit.succeed("OperationAborted"))
      )
      const later = yield* start(tagOf(Effect.scoped(listener.accept)))
      assert.deepStrictEqual(later.pollUnsafe(), Exit.succeed("ListenerFaulted"))
      yield* untilDescriptors(before)
      assert.strictEqual(yield* NetClient.refusal(address), kind.refusal)
    }))

  it.live("1,000 accepts interrupted around their hand-over: each client ends once, no socket is left", () =>
    Effect.gen(function*() {
      const before = descriptors()
      const clients = 1000
      let accepted = 0
      yield* Effect.scoped(Effect.gen(function*() {
        const listener = yield* listen(kind)
        const hold = Effect.scoped(Effect.flatMap(listener.accept, () => {
          accepted++
          return Effect.never
        }))
        const endings: Array<Effect.Effect<NetClient.Ending>> = []
        for (let i = 0; i < clients; i++) {
          const accepting = yield* start(hold)
          const connecting = yield* start(connect(listener))
          yield* turns(i % 5)
          yield* Fiber.interrupt(accepting)
          endings.push((yield* Fiber.join(connecting)).ending)
        }
        const report = yield* listener.close()
        assert.deepStrictEqual(new Set(yield* Effect.all(endings)), new Set(["FIN"]))
        // of those that ended before the close began the report does not know
        assert.isAtLeast(accepted, 1)
        assert.strictEqual(report.connections.total, report.connections.neverAccepted)
        assert.strictEqual(accepted + report.connections.neverAccepted, clients)
      }))
      yield* untilDescriptors(before)
    }))
})

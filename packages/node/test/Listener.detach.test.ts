import type { Connection } from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerError from "@effect-listener/core/ListenerError"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import { echo } from "./support/handlers.ts"
import { connect, descriptors, kinds, listen, start, timed, untilDescriptors, untilStage } from "./support/listening.ts"
import { ask } from "./support/netClient.ts"
import { turns } from "./support/resources.ts"

describe.each(kinds)("a connection taken by accept, $name", (kind) => {
  it.live("is told draining, and awaited until its scope ends", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind)
      const client = yield* connect(listener)
      const told = yield* Deferred.make<void>()
      const go = yield* Latch.make()
      const holding = yield* start(Effect.scoped(Effect.gen(function*() {
        const connection = yield* listener.accept
        const { write } = yield* connection.socket.writer
        yield* connection.draining
        yield* Deferred.succeed(told, undefined)
        yield* go.await
        yield* write("the last word\n")
      })))
      const closing = yield* start(listener.close())
      yield* Deferred.await(told)
      yield* turns(5)
      assert.strictEqual(yield* listener.state, "Closing")
      yield* go.open
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(report.connections.drained, 1)
      assert.deepStrictEqual(yield* client.rest, { lines: ["the last word"], ending: "FIN" })
      yield* Fiber.join(holding)
    }))

  it.live("is destroyed at the deadline, and named; its fiber is left alone", () =>
    Effect.gen(function*() {
      const before = descriptors()
      const drain = { deadline: 300, abortGrace: "10 minutes" } as const
      const listener = yield* listen(kind, { drain })
      const client = yield* connect(listener)
      const holding = yield* start(Effect.scoped(Effect.andThen(listener.accept, Effect.never)))
      const [error, millis] = yield* timed(Effect.flip(listener.close()))
      assert.isAtLeast(millis, drain.deadline - 1)
      assert.isBelow(millis, drain.deadline + 2000)
      assert.instanceOf(error, ListenerError.OperationTimedOut)
      assert.strictEqual(error.report?.cut.length, 1)
      assert.deepStrictEqual(error.report?.handlersLeftBehind, [])
      assert.strictEqual(yield* client.ending, kind.cut)
      assert.isUndefined(holding.pollUnsafe())
      yield* untilDescriptors(before)
      yield* Fiber.interrupt(holding)
    }))

  it.live("detached, it is left alone: it works on after the close, and its new scope ends it", () =>
    Effect.gen(function*() {
      const before = descriptors()
      const listener = yield* listen(kind, { drain: { deadline: 300 } })
      const client = yield* connect(listener)
      const longer = yield* Scope.make()
      const accepted = yield* Scope.make()
      const connection = yield* Scope.provide(listener.accept, accepted)
      yield* connection.detach(longer)
      yield* Scope.close(accepted, Exit.void)
      const report = yield* listener.close()
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(report.connections.total, 0)
      yield* start(Effect.ignore(Effect.scoped(echo(connection))))
      assert.strictEqual(yield* ask(client, "still there?"), "still there?")
      yield* Scope.close(longer, Exit.void)
      assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "FIN" })
      yield* untilDescriptors(before)
    }))
})

describe.each(kinds)("detach, $name", (kind) => {
  it.live("the connection works on after the listener is closed, lives in the caller's scope, and is ended by it", () =>
    Effect.gen(function*() {
      const before = descriptors()
      const owner = yield* Scope.make()
      const listener = yield* Scope.provide(listen(kind), owner)
      const longer = yield* Scope.make()
      const detaching = (connection: Connection) => Effect.andThen(connection.detach(longer), echo(connection))
      const serving = yield* start(Listener.serve(listener, detaching))
      const client = yield* connect(listener)
      assert.strictEqual(yield* ask(client, "before"), "before")
      const report = yield* listener.close()
      assert.strictEqual(report.connections.total, 0)
      yield* Fiber.join(serving)
      assert.strictEqual(yield* ask(client, "after the close"), "after the close")
      // nor does the listener's owner end it
      yield* Scope.close(owner, Exit.void)
      assert.strictEqual(yield* ask(client, "after the owner"), "after the owner")
      yield* Scope.close(longer, Exit.void)
      assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "FIN" })
      yield* untilDescriptors(before)
    }))

  it.live("during a drain: no longer waited for, and counted detached", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind)
      const longer = yield* Scope.make()
      const taken = yield* Deferred.make<Connection>()
      yield* start(
        Listener.serve(listener, (connection) => Effect.andThen(Deferred.succeed(taken, connection), echo(connection)))
      )
      const client = yield* connect(listener)
      const connection = yield* Deferred.await(taken)
      const closing = yield* start(listener.close({ deadline: "10 minutes" }))
      yield* untilStage(listener, "Draining")
      yield* connection.detach(longer)
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(report.connections.detached, 1)
      assert.strictEqual(report.connections.total, 1)
      assert.strictEqual(yield* ask(client, "still there?"), "still there?")
      yield* Scope.close(longer, Exit.void)
      assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "FIN" })
    }))
})

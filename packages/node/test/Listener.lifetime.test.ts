import type { DrainReport } from "@effect-listener/core/DrainReport"
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerError from "@effect-listener/core/ListenerError"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import { answerLines, makeHolder } from "./support/handlers.ts"
import {
  connect,
  descriptors,
  kinds,
  listen,
  many,
  start,
  tagOf,
  target,
  timed,
  untilDescriptors,
  untilStage
} from "./support/listening.ts"
import * as NetClient from "./support/netClient.ts"
import { turns } from "./support/resources.ts"

/** What a late machine may add to a stated bound, in milliseconds. */
const late = 2000

const labels = (report: DrainReport) => report.cut.map((info) => info.exchanges[0]?.label)

describe.each(kinds)("abort, $name", (kind) => {
  it.live("overtakes a close that drains, at once; the close fails OperationAborted and ends Closed", () =>
    Effect.gen(function*() {
      const before = descriptors()
      const listener = yield* listen(kind, { drain: { deadline: "10 minutes", abortGrace: "10 minutes" } })
      const { handler, held } = yield* makeHolder
      yield* start(Listener.serve(listener, handler, { idle: "pull" }))
      const clients = yield* many(10, connect(listener))
      for (const client of clients) yield* client.send("hold\n")
      yield* held(10)
      const closing = yield* start(Effect.flip(listener.close()))
      yield* untilStage(listener, "Draining")
      const [error, millis] = yield* timed(Effect.andThen(listener.abort, Fiber.join(closing)))
      assert.isBelow(millis, late)
      assert.instanceOf(error, ListenerError.OperationAborted)
      assert.deepStrictEqual(labels(error.report!), Array(10).fill("hold"))
      assert.strictEqual(yield* listener.state, "Closed")
      for (const client of clients) assert.strictEqual(yield* client.ending, kind.cut)
      yield* untilDescriptors(before)
    }))

  it.live("ends an abort grace that runs, at once; the close fails OperationTimedOut", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind, { drain: { deadline: 100, abortGrace: "10 minutes" } })
      const released = yield* Latch.make()
      const stubborn = answerLines((line) => Effect.as(Effect.uninterruptible(released.await), line))
      yield* start(Listener.serve(listener, stubborn, { idle: "pull" }))
      const client = yield* connect(listener)
      yield* client.send("stubborn\n")
      const closing = yield* start(Effect.flip(listener.close()))
      yield* untilStage(listener, "Aborting")
      const [error, millis] = yield* timed(Effect.andThen(listener.abort, Fiber.join(closing)))
      assert.isBelow(millis, late)
      assert.instanceOf(error, ListenerError.OperationTimedOut)
      assert.deepStrictEqual(error.report?.handlersLeftBehind, error.report?.cut)
      assert.deepStrictEqual(labels(error.report!), ["stubborn"])
      assert.strictEqual(yield* listener.state, "Closed")
      yield* released.open
    }))

  it.live("the close from Faulted works at once and reports what the abort cut", () =>
    Effect.gen(function*() {
      const before = descriptors()
      const listener = yield* listen(kind, { drain: { deadline: "10 minutes", abortGrace: "10 minutes" } })
      const address = yield* target(listener)
      const { handler, held } = yield* makeHolder
      const serving = yield* start(tagOf(Listener.serve(listener, handler, { idle: "pull" })))
      const clients = yield* many(10, connect(listener))
      for (const client of clients) yield* client.send("hold\n")
      yield* held(10)
      yield* listener.abort
      assert.strictEqual(yield* listener.state, "Faulted")
      assert.strictEqual(yield* Fiber.join(serving), "ListenerFaulted")
      for (const client of clients) assert.strictEqual(yield* client.ending, kind.cut)
      assert.strictEqual(yield* NetClient.refusal(address), kind.refusal)
      yield* untilDescriptors(before)
      const [report, millis] = yield* timed(listener.close())
      assert.isBelow(millis, late)
      assert.strictEqual(report.outcome, "Aborted")
      assert.deepStrictEqual(labels(report), Array(10).fill("hold"))
      assert.strictEqual(report.connections.cut, 10)
      assert.strictEqual(report.connections.total, 10)
      assert.strictEqual(yield* listener.state, "Closed")
    }))
})

describe.each(kinds)("close from inside, $name", (kind) => {
  const drain = { deadline: "10 minutes", abortGrace: "10 minutes" } as const

  it.live("a handler that closes its listener does not wait for itself, and can still answer", () =>
    Effect.gen(function*() {
      const before = descriptors()
      const listener = yield* listen(kind, { drain })
      const close = Effect.map(Effect.orDie(listener.close()), ({ outcome }) => outcome)
      yield* start(Listener.serve(listener, answerLines(() => close), { idle: "pull" }))
      const client = yield* connect(listener)
      yield* client.send("close\n")
      const [report, millis] = yield* timed(listener.closed)
      assert.isBelow(millis, late)
      assert.strictEqual(report.connections.closer, 1)
      assert.strictEqual(report.connections.total, 1)
      assert.strictEqual(yield* client.line, "Drained")
      // the connection is the handler's for as long as the abort grace lasts
      client.socket.end()
      assert.strictEqual(yield* client.ending, "FIN")
      yield* untilDescriptors(before)
    }))

  it.live("a handler that waits in closed does not keep the close waiting, and can still answer", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind, { drain })
      const entered = yield* Latch.make()
      const closed = Effect.andThen(entered.open, Effect.map(listener.closed, ({ outcome }) => outcome))
      yield* start(Listener.serve(listener, answerLines(() => closed), { idle: "pull" }))
      const client = yield* connect(listener)
      yield* client.send("closed\n")
      yield* entered.await
      const [report, millis] = yield* timed(listener.close())
      assert.isBelow(millis, late)
      assert.strictEqual(report.connections.closer, 1)
      assert.strictEqual(yield* client.line, "Drained")
      client.socket.end()
      assert.strictEqual(yield* client.ending, "FIN")
    }))

  it.live.each([false, true])(
    "the fiber that holds an accepted connection does not wait for it, and can still write to it (under a time-out: %s)",
    (underTimeOut) =>
      Effect.gen(function*() {
        const listener = yield* listen(kind, { drain })
        const client = yield* connect(listener)
        yield* Effect.scoped(Effect.gen(function*() {
          const connection = yield* listener.accept
          const { write } = yield* connection.socket.writer
          const close = listener.close()
          const [report, millis] = yield* timed(underTimeOut ? Effect.timeout(close, "10 minutes") : close)
          assert.isBelow(millis, late)
          assert.strictEqual(report.connections.closer, 1)
          assert.strictEqual(report.connections.total, 1)
          yield* write("bye\n")
        }))
        assert.deepStrictEqual(yield* client.rest, { lines: ["bye"], ending: "FIN" })
      })
  )

  it.live("a connection that stays longer than the abort grace is cut", () =>
    Effect.gen(function*() {
      const before = descriptors()
      const listener = yield* listen(kind, { drain: { abortGrace: 200 } })
      const close = Effect.andThen(Effect.orDie(listener.close()), Effect.never)
      yield* start(Listener.serve(listener, answerLines(() => close), { idle: "pull" }))
      const client = yield* connect(listener)
      yield* client.send("close\n")
      yield* listener.closed
      assert.strictEqual(yield* client.ending, kind.cut)
      yield* untilDescriptors(before)
    }))
})

describe.each(kinds)("close, interrupted, $name", (kind) => {
  it.live("goes on by itself, and closed joins it", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind)
      const { handler, held, release } = yield* makeHolder
      yield* start(Listener.serve(listener, handler, { idle: "pull" }))
      const client = yield* connect(listener)
      yield* client.send("hold\n")
      yield* held(1)
      const closing = yield* start(listener.close({ reason: "interrupted" }))
      yield* untilStage(listener, "Draining")
      yield* Fiber.interrupt(closing)
      assert.strictEqual(yield* listener.state, "Closing")
      const joining = yield* start(listener.closed)
      yield* release
      assert.deepStrictEqual(yield* client.rest, { lines: ["released hold"], ending: "FIN" })
      const report = yield* Fiber.join(joining)
      assert.strictEqual(report.reason, "interrupted")
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(report.connections.drained, 1)
    }))
})

describe.each(kinds)("the owner scope, $name", (kind) => {
  it.live("closing while a longer drain runs shortens it; afterwards open and reset fail InvalidOperation", () =>
    Effect.gen(function*() {
      const before = descriptors()
      const owner = yield* Scope.make()
      const drain = { deadline: 500, abortGrace: 300 }
      const listener = yield* Scope.provide(listen(kind, { drain }), owner)
      const { handler, held } = yield* makeHolder
      yield* start(Listener.serve(listener, handler, { idle: "pull" }))
      const client = yield* connect(listener)
      yield* client.send("hold\n")
      yield* held(1)
      const closing = yield* start(Effect.flip(listener.close({ deadline: "10 minutes" })))
      yield* untilStage(listener, "Draining")
      const [, millis] = yield* timed(Scope.close(owner, Exit.void))
      assert.isAtLeast(millis, drain.deadline - 1)
      assert.isBelow(millis, drain.deadline + drain.abortGrace + late)
      const error = yield* Fiber.join(closing)
      assert.instanceOf(error, ListenerError.OperationTimedOut)
      assert.deepStrictEqual(labels(error.report!), ["hold"])
      assert.strictEqual(yield* listener.state, "Closed")
      assert.strictEqual(yield* tagOf(listener.open), "InvalidOperation")
      assert.strictEqual(yield* tagOf(listener.reset), "InvalidOperation")
      assert.strictEqual(yield* client.ending, kind.cut)
      yield* untilDescriptors(before)
    }))

  it.live("of listen and then forkScoped(serve): the answer in flight is delivered when it closes", () =>
    Effect.gen(function*() {
      const owner = yield* Scope.make()
      const { handler, held, release } = yield* makeHolder
      const listener = yield* Scope.provide(
        Effect.tap(
          listen(kind),
          (listener) =>
            Effect.forkScoped(Listener.serve(listener, handler, { idle: "pull" }), { startImmediately: true })
        ),
        owner
      )
      const client = yield* connect(listener)
      yield* client.send("hold\n")
      yield* held(1)
      const closing = yield* start(Scope.close(owner, Exit.void))
      yield* untilStage(listener, "Draining")
      yield* turns(5)
      yield* release
      assert.deepStrictEqual(yield* client.rest, { lines: ["released hold"], ending: "FIN" })
      yield* Fiber.join(closing)
      const report = yield* listener.closed
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(report.connections.drained, 1)
    }))
})

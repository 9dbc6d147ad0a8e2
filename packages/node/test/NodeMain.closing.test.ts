import type * as Connection from "@effect-listener/core/Connection"
import type { DrainProgress } from "@effect-listener/core/Drain"
import type { DrainReport } from "@effect-listener/core/DrainReport"
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerRegistry from "@effect-listener/core/ListenerRegistry"
import * as MemoryTransport from "@effect-listener/testing/MemoryTransport"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as ProgressLine from "../src/internal/display/progressLine.ts"
import { closeMembers, watchedRegistry } from "../src/internal/main/stopping/closeMembers.ts"

/** A registry, and what a program made with it shows when it is closed. */
const setup = (deadline?: number) => {
  const registry = watchedRegistry()
  const reports: Array<DrainReport> = []
  const lines: Array<string> = []
  const failures: Array<string> = []
  return {
    registry,
    reports,
    lines,
    failures,
    join: Effect.provideService(ListenerRegistry.CurrentRegistry, Option.some(registry)),
    close: closeMembers(registry, {
      reason: "SIGTERM",
      deadline,
      queue: "sweep",
      interval: 1000,
      onProgress: (closes) => lines.push(...line(closes)),
      onReport: (report) => reports.push(report),
      onFailure: (member, cause) => failures.push(`${member.name}: ${String(Cause.squash(cause))}`)
    })
  }
}

const line = (closes: ReadonlyArray<DrainProgress>): ReadonlyArray<string> => {
  const summary = ProgressLine.summary(closes)
  return summary === undefined ? [] : [ProgressLine.format(summary)]
}

/** A listener with one client whose exchange takes so long. */
const busy = (name: string, millis: number, drain: Listener.ListenerOptions["drain"]) =>
  Effect.gen(function*() {
    const transport = yield* MemoryTransport.make()
    const listener = yield* Listener.listen(transport, { name, drain: { idleGrace: 0, linger: { idle: 0 }, ...drain } })
    const handler = (connection: Connection.Connection) => connection.exchange("work", Effect.sleep(millis))
    yield* Effect.forkScoped(Listener.serve(listener, handler), { startImmediately: true })
    yield* transport.connect
    return listener
  })

/** How long an effect takes on the virtual clock, which is moved on by its second. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const began = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust(100)
    yield* Fiber.join(fiber)
    return (yield* Clock.currentTimeMillis) - began
  })

const outcomes = (reports: ReadonlyArray<DrainReport>) =>
  Object.fromEntries(reports.map((report) => [report.listener, report.outcome]))

describe("closing every listener of a program", () => {
  it.effect("closes all at once, each with its own deadline", () =>
    Effect.gen(function*() {
      const { close, join, reports } = setup()
      yield* join(busy("patient", 3000, { deadline: "10 seconds" }))
      yield* join(busy("strict", 60_000, { deadline: "2 seconds" }))
      assert.strictEqual(yield* timed(close), 3000)
      assert.deepStrictEqual(outcomes(reports), { strict: "DeadlineExceeded", patient: "Drained" })
      assert.deepStrictEqual(reports.map((report) => report.reason), ["SIGTERM", "SIGTERM"])
    }))

  it.effect("the host's deadline lowers every deadline, and raises none", () =>
    Effect.gen(function*() {
      const { close, join, lines, reports } = setup(3000)
      yield* join(busy("patient", 60_000, { deadline: "10 seconds" }))
      yield* join(busy("strict", 60_000, { deadline: "1 second" }))
      assert.strictEqual(yield* timed(close), 3000)
      assert.deepStrictEqual(outcomes(reports), { strict: "DeadlineExceeded", patient: "DeadlineExceeded" })
      assert.deepStrictEqual(reports.map((report) => report.duration), [1000, 3000])
      assert.include(lines[1], "· 1 s left ·")
    }))

  it.effect("the host's deadline counts from the signal, a lame duck included", () =>
    Effect.gen(function*() {
      const { close, join, reports } = setup(3000)
      yield* join(busy("duck", 60_000, { deadline: "10 seconds", lameDuck: "2 seconds" }))
      yield* join(busy("long duck", 60_000, { deadline: "10 seconds", lameDuck: "8 seconds" }))
      assert.strictEqual(yield* timed(close), 3000)
      assert.deepStrictEqual(outcomes(reports), { duck: "DeadlineExceeded", "long duck": "DeadlineExceeded" })
    }))

  it.effect("joins a close that runs, and lowers its deadline", () =>
    Effect.gen(function*() {
      const { close, join, reports } = setup(3000)
      const listener = yield* join(busy("closing", 60_000, {}))
      const running = yield* Effect.forkChild(Effect.exit(listener.close({ deadline: "1 hour", reason: "deploy" })), {
        startImmediately: true
      })
      assert.strictEqual(yield* timed(close), 3000)
      assert.deepStrictEqual(reports.map((report) => report.reason), ["deploy"])
      yield* Fiber.join(running)
    }))

  it.effect("a listener made meanwhile does not stay open", () =>
    Effect.gen(function*() {
      const { close, join, reports } = setup()
      yield* join(busy("first", 2000, {}))
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust(1000)
      const transport = yield* MemoryTransport.make()
      const late = yield* join(Listener.make(transport, { name: "late" }))
      const opened = yield* Effect.exit(late.open)
      assert.strictEqual(opened._tag, "Failure")
      yield* TestClock.adjust(1000)
      yield* Fiber.join(closing)
      assert.strictEqual(yield* late.state, "Closed")
      assert.deepStrictEqual(outcomes(reports), { late: "Drained", first: "Drained" })
    }))

  it.effect("a listener that was never opened costs nothing", () =>
    Effect.gen(function*() {
      const { close, join, lines } = setup()
      yield* join(Listener.make(yield* MemoryTransport.make()))
      assert.strictEqual(yield* timed(close), 0)
      assert.deepStrictEqual(lines, [])
    }))

  it.effect.each([
    {
      how: "throws",
      shutdown: (): never => {
        throw new Error("no close")
      }
    },
    { how: "dies", shutdown: () => Effect.die(new Error("no close")) }
  ])("one whose close $how is named, and the others are closed", ({ shutdown }) =>
    Effect.gen(function*() {
      const { close, failures, join, lines, registry, reports } = setup()
      yield* join(busy("other", 2500, {}))
      registry.add({ name: "broken", shutdown, progress: Stream.die(new Error("no progress")) })
      assert.strictEqual(yield* timed(close), 2500)
      assert.deepStrictEqual(failures, ["broken: Error: no close"])
      assert.deepStrictEqual(outcomes(reports), { other: "Drained" })
      assert.strictEqual(lines.length, 2)
    }))

  it.effect("says once a second where it stands", () =>
    Effect.gen(function*() {
      const { close, join, lines } = setup()
      yield* join(busy("one", 2500, {}))
      yield* join(busy("two", 1500, {}))
      yield* timed(close)
      assert.strictEqual(lines.length, 2)
      assert.match(lines[0]!, /^draining 2 of 2 · 1\d s left · oldest work \d s from /)
      assert.match(lines[1]!, /^draining 1 of 2 · 1\d s left · oldest work \d s from /)
    }))
})

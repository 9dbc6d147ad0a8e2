import { DatagramListener, type DrainReport, type ListenerError } from "@effect-listener/core"
import { Interleavings, type MemoryDatagrams, MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Result, Scope } from "effect"
import { textOf } from "./support/datagrams.ts"

/** The budget of one combination here. */
const maxSchedules = 40

/** What a run has seen, for the laws to be checked against. */
interface World {
  readonly transport: MemoryDatagrams.MemoryDatagrams
  readonly client: MemoryDatagrams.Client
  readonly listener: DatagramListener.DatagramListener
  readonly errors: Array<string>
  readonly received: Array<string>
  readonly reports: Array<DrainReport.DrainReport>
}

type Step = (world: World) => Effect.Effect<void, never, Scope.Scope>

/** Fails with nothing but what it may fail with. */
const operation = <A, E extends ListenerError.ListenerError>(
  name: string,
  allowed: ReadonlyArray<E["_tag"]>,
  run: (world: World) => Effect.Effect<A, E, Scope.Scope>
): Step =>
(world) =>
  Effect.map(Effect.result(run(world)), (result) => {
    if (Result.isSuccess(result)) return
    const { failure } = result
    if (!allowed.includes(failure._tag)) world.errors.push(`${name} failed ${failure._tag}`)
    if ("report" in failure && failure.report !== undefined) world.reports.push(failure.report)
  })

const receive = operation(
  "receive",
  ["InvalidOperation", "OperationAborted", "ListenerFaulted"],
  ({ listener, received }) =>
    Effect.scoped(Effect.flatMap(listener.receive, (datagram) => {
      received.push(textOf(datagram))
      return Effect.ignore(datagram.reply(datagram.payload))
    }))
)

const close = operation(
  "close",
  ["InvalidOperation", "OperationAborted", "OperationTimedOut"],
  ({ listener, reports }) => Effect.map(listener.close(), (report) => void reports.push(report))
)

const interrupted = (step: Step): Step => (world) => Effect.flatMap(Effect.forkChild(step(world)), Fiber.interrupt)

const steps = {
  receive,
  "receive too": receive,
  "interrupt receive": interrupted(receive),
  close,
  "interrupt close": interrupted(close),
  abort: ({ listener }) => listener.abort,
  serve: operation(
    "serve",
    ["ListenerFaulted"],
    ({ listener, received }) =>
      DatagramListener.serve(listener, (datagram, reply) => {
        received.push(textOf(datagram))
        return reply(datagram.payload)
      })
  ),
  "serve in fibers": operation(
    "serve in fibers",
    ["ListenerFaulted"],
    ({ listener, received }) =>
      DatagramListener.serve(listener, (datagram, reply) =>
        Effect.gen(function*() {
          received.push(textOf(datagram))
          yield* Effect.yieldNow
          yield* Effect.ignore(reply(datagram.payload))
        }))
  ),
  send: ({ client }) => client.send("sent"),
  "send too": ({ client }) => Effect.andThen(client.send("first"), client.send("second")),
  reset: operation("reset", ["InvalidOperation"], ({ listener }) => listener.reset)
} satisfies Record<string, Step>

type Name = keyof typeof steps

/** All at the same time, and then the end: the laws hold whatever the order was. */
const program = (names: ReadonlyArray<Name>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const world = yield* Interleavings.atomic(Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const listener = yield* Scope.provide(
        DatagramListener.listen(transport, { drain: { deadline: 1000, abortGrace: 100 } }),
        scope
      )
      const client = yield* transport.client
      return { transport, client, listener, errors: [], received: [], reports: [] } satisfies World
    }))
    const fibers = yield* Effect.forEach(names, (name) => Effect.forkChild(Effect.scoped(steps[name](world))))
    yield* Scope.close(scope, Exit.void)
    yield* Effect.forEach(fibers, Fiber.await)
    yield* Interleavings.atomic(laws(world, names.includes("abort")))
  })

const laws = ({ client, errors, listener, received, reports, transport }: World, aborted: boolean) =>
  Effect.gen(function*() {
    reports.push(yield* listener.closed)
    if (!aborted) {
      for (const { outcome } of reports) {
        assert.strictEqual(outcome, "Drained", "nothing is left over")
      }
    }
    assert.deepStrictEqual(errors, [])
    assert.strictEqual(yield* transport.open, 0, "the socket is released")
    const answered = yield* client.received
    for (const text of answered) assert.include(received, text, "what is answered was received")
    assert.strictEqual(new Set(received).size, received.length, "each is received once")
    for (const { datagrams } of reports) {
      if (datagrams === undefined) assert.fail("a report without datagrams")
      const { dropped, received, ...ends } = datagrams
      const counted = [...Object.values(ends), ...Object.values(dropped)].reduce((a, b) => a + b, 0)
      assert.strictEqual(counted, received, "each ends for one reason")
    }
  })

const combinations: ReadonlyArray<ReadonlyArray<Name>> = [
  ["receive", "receive too", "send too"],
  ["receive", "interrupt receive", "send too"],
  ["receive", "send", "close"],
  ["receive", "send", "abort"],
  ["receive", "interrupt receive", "send too", "close"],
  ["interrupt receive", "send too", "abort"],
  ["serve", "send too", "close"],
  ["serve", "send too", "abort"],
  ["serve", "send", "interrupt close"],
  ["serve", "receive", "send too", "close"],
  ["serve in fibers", "send too", "close"],
  ["serve in fibers", "send too", "abort"],
  ["serve in fibers", "send", "close", "abort"],
  ["serve in fibers", "send too", "close", "interrupt close"],
  ["close", "abort", "reset", "send"],
  ["close", "reset", "receive", "send"]
]

describe("whatever the order", () => {
  for (const combination of combinations) {
    it.live(combination.join(", "), () =>
      Effect.gen(function*() {
        const report = yield* Interleavings.check(program(combination), { maxSchedules })
        assert.isTrue(report.exhaustive || report.schedules >= maxSchedules, Interleavings.format(report))
      }))
  }
})

/**
 * What can happen to a listener at the same time: thirteen events, and the laws
 * that hold whatever order they come in.
 */
import { type Connection, type DrainReport, Listener, type ListenerError } from "@effect-listener/core"
import { Interleavings, MemoryTransport } from "@effect-listener/testing"
import { Effect, Exit, Fiber, Metric, Result, Scope } from "effect"
import { Socket } from "effect/socket"
import { scrape } from "./metrics.ts"

/** What a run has seen, for the laws to be checked against. */
interface World {
  readonly transport: MemoryTransport.MemoryTransport
  readonly listener: Listener.Listener
  /** A client that is connected from the beginning, where one is needed. */
  readonly client: MemoryTransport.Client | undefined
  readonly seen: {
    readonly reports: Array<DrainReport.DrainReport>
    readonly errors: Array<string>
    readonly accepted: Array<number>
    readonly executed: Array<string>
    readonly answered: Array<string>
    readonly cutShort: { yes: boolean }
  }
}

type Step = (world: World) => Effect.Effect<void, never, Scope.Scope>

const operation = <A, E extends ListenerError.ListenerError>(
  name: string,
  allowed: ReadonlyArray<E["_tag"]>,
  run: (world: World) => Effect.Effect<A, E, Scope.Scope>
): Step =>
(world) =>
  Effect.map(Effect.result(run(world)), (result) => {
    if (Result.isFailure(result) && !allowed.includes(result.failure._tag)) {
      world.seen.errors.push(`${name} failed ${result.failure._tag}`)
    }
    if (Result.isFailure(result) && "report" in result.failure && result.failure.report !== undefined) {
      world.seen.reports.push(result.failure.report)
    }
  })

const openErrors = ["InvalidOperation", "OperationAborted"] as const
const acceptErrors = ["InvalidOperation", "OperationAborted", "ListenerFaulted"] as const
const closeErrors = ["InvalidOperation", "OperationAborted", "OperationTimedOut"] as const

const open = operation("open", openErrors, ({ listener }) => listener.open)

const accept = operation(
  "accept",
  acceptErrors,
  ({ listener, seen }) =>
    Effect.scoped(Effect.map(listener.accept, (connection) => {
      seen.accepted.push(connection.id)
    }))
)

const close = operation("close", closeErrors, ({ listener, seen }) =>
  Effect.map(listener.close(), (report) => {
    seen.reports.push(report)
  }))

/** Begins something and interrupts it, at whatever moment. */
const interrupted = (step: Step): Step => (world) => Effect.flatMap(Effect.forkChild(step(world)), Fiber.interrupt)

/** Asks for an answer, and reads it if it comes. */
const ask = (client: MemoryTransport.Client, text: string, world: World) =>
  Effect.ignore(Effect.gen(function*() {
    yield* client.write(text)
    world.seen.answered.push((yield* client.readText(text.length + 1)).slice(1))
  }))

/** Each event by its name, and what it needs: an open listener, or a client that is connected. */
export const events = {
  open: { needs: "created", step: open },
  accept: { needs: "open", step: accept },
  "accept too": { needs: "open", step: accept },
  close: { needs: "open", step: close },
  abort: {
    needs: "open",
    step: ({ listener, seen }) =>
      Effect.andThen(
        Effect.sync(() => {
          seen.cutShort.yes = true
        }),
        listener.abort
      )
  },
  reset: { needs: "open", step: operation("reset", ["InvalidOperation"], ({ listener }) => listener.reset) },
  "interrupt accept": { needs: "open", step: interrupted(accept) },
  "interrupt open": { needs: "created", step: interrupted(open) },
  "interrupt close": { needs: "open", step: interrupted(close) },
  "connection arrives": {
    needs: "open",
    step: (world) => Effect.ignore(Effect.flatMap(world.transport.connect, (client) => ask(client, "late", world)))
  },
  "connection ends": {
    needs: "client",
    step: ({ client, seen }) =>
      Effect.sync(() => {
        seen.cutShort.yes = true
      }).pipe(Effect.andThen(client === undefined ? Effect.void : client.reset))
  },
  exchange: {
    needs: "client",
    step: (world) => world.client === undefined ? Effect.void : ask(world.client, "ask", world)
  },
  deadline: {
    needs: "client",
    step: ({ client, seen }) =>
      Effect.sync(() => {
        seen.cutShort.yes = true
      }).pipe(Effect.andThen(client === undefined ? Effect.void : Effect.ignore(client.write("hold"))))
  }
} satisfies Record<string, { readonly needs: "created" | "open" | "client"; readonly step: Step }>

export type EventName = keyof typeof events

const names = Object.keys(events) as ReadonlyArray<EventName>

/** Events that may wait for what no other brings. */
const waits: ReadonlyArray<EventName> = ["accept", "accept too", "connection arrives", "exchange"]

/** Every pair and every triple of events. */
export const combinations: ReadonlyArray<ReadonlyArray<EventName>> = names.flatMap((a, i) =>
  names.slice(i + 1).flatMap((b, j) => [
    [a, b],
    ...names.slice(i + j + 2).map((c) => [a, b, c])
  ])
)

const serve = (seen: World["seen"]) =>
  Effect.fnUntraced(function*(connection: Connection.Connection) {
    const pull = yield* Socket.readerString(connection.socket)
    const writer = yield* connection.socket.writer
    while (true) {
      const text = (yield* pull).join("")
      yield* connection.exchange(
        text,
        Effect.suspend(() => {
          if (text.includes("hold")) return Effect.never
          seen.executed.push(text)
          return writer.write(`=${text}`)
        })
      )
    }
  })

/** How things stand when the owner scope has closed. */
interface End {
  readonly state: string
  /** Server sockets that are left. */
  readonly open: number
  /** How the client that was connected from the beginning saw its connection end. */
  readonly client: "Fin" | "Reset" | undefined
  readonly metrics: Effect.Success<ReturnType<typeof scrape>>
}

const deadline = 1000
const abortGrace = 100

/** What must hold, whatever the order; the first thing that does not. */
const broken = (
  world: World,
  combination: ReadonlyArray<EventName>,
  { client, metrics, open, state }: End
): string | undefined => {
  const { accepted, answered, cutShort, errors, executed, reports } = world.seen
  // in a life after a reset, ids begin anew
  const live = combination.includes("reset")
  const longest = combination.includes("deadline") ? deadline + abortGrace : 0
  if (errors.length > 0) return errors.join(", ")
  if (state !== "Closed") return `the owner scope has closed, the state is ${state}`
  if (open !== 0) return `${open} server sockets are left`
  if (new Set(accepted).size !== accepted.length && !live) {
    return `a connection was accepted twice: ${accepted.join(", ")}`
  }
  for (const report of reports) {
    const { total, ...ends } = report.connections
    const sum = Object.values(ends).reduce((a, b) => a + b, 0)
    if (sum !== total) return `${total} connections ended for ${sum} reasons`
    if (report.cut.length !== report.connections.cut) return `${report.connections.cut} cut, ${report.cut.length} named`
    if (report.duration > longest) return `a close took ${report.duration} ms, where nothing was in flight for so long`
  }
  if (metrics.accepted !== metrics.ended || metrics.open !== 0) {
    return `${metrics.accepted} accepted, ${metrics.ended} ended, ${metrics.open} open`
  }
  if (!cutShort.yes && client === "Reset") return "a client that was connected was reset"
  if (!cutShort.yes && executed.length !== answered.length) {
    return `${executed.length} requests were executed, ${answered.length} answered`
  }
  return undefined
}

/** A listener to which these events happen at the same time, and then its owner scope closes. */
export const program = (combination: ReadonlyArray<EventName>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const transport = yield* MemoryTransport.make()
    const needs = combination.map((name) => events[name].needs)
    const seen: World["seen"] = {
      reports: [],
      errors: [],
      accepted: [],
      executed: [],
      answered: [],
      cutShort: { yes: false }
    }
    const owner = yield* Scope.make()
    const { client, listener } = yield* Interleavings.atomic(Effect.gen(function*() {
      const listener = yield* Scope.provide(
        Listener.make(transport, {
          drain: { deadline, idleGrace: 0, abortGrace, linger: { idle: 0 } }
        }),
        owner
      )
      // with a handler in place, or with accepts alone
      const serving = !combination.some((name) => name.includes("accept"))
      if (serving) yield* Effect.forkDetach(Effect.ignore(Listener.serve(listener, serve(seen))))
      if (!needs.includes("created")) yield* Effect.orDie(listener.open)
      const connected = needs.includes("client") && !needs.includes("created")
      return { listener, client: connected ? yield* Effect.orDie(transport.connect) : undefined }
    }))
    const world: World = { transport, listener, client, seen }
    const fibers = yield* Effect.forEach(combination, (name) => Effect.forkChild(events[name].step(world)))
    // the owner waits for what ends by itself, and ends what does not
    yield* Effect.forEach(fibers, (fiber, i) => waits.includes(combination[i]!) ? Effect.void : Fiber.join(fiber))
    yield* Scope.close(owner, Exit.void)
    yield* Effect.forEach(fibers, Fiber.join)
    const problem = broken(world, combination, {
      state: yield* listener.state,
      open: yield* transport.open,
      // after a reset of its own it sees no end
      client: client === undefined || combination.includes("connection ends") ? undefined : yield* client.ended,
      metrics: yield* scrape(transport.name)
    })
    if (problem !== undefined) return yield* Effect.die(problem)
  }).pipe(Effect.scoped, (program) =>
    Effect.suspend(() => Effect.provideService(program, Metric.MetricRegistry, new Map())))

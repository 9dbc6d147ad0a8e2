/**
 * What can happen to a listener at the same time: its events, and the laws that
 * hold whatever order they come in.
 */
import {
  type Admission,
  type Connection,
  type DrainReport,
  Listener,
  type ListenerError,
  Transport
} from "@effect-listener/core"
import { Interleavings, MemoryTransport } from "@effect-listener/testing"
import { Deferred, Effect, Exit, Fiber, Metric, Result, Scope } from "effect"
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
    /** What refused clients were told. */
    readonly refusals: Array<string>
    cutShort: boolean
  }
  /** Whether the transport throws from now on. */
  throwing: boolean
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

const recordedClose = ({ listener, seen }: World) =>
  Effect.tap(listener.close(), (report) => {
    seen.reports.push(report)
    return Effect.void
  })

const close = operation("close", closeErrors, recordedClose)

const serve = ({ listener, seen }: World) => Listener.serve(listener, handler(seen), { idle: "pull" })

/** Begins a lifetime in place of the one that has ended with this report, at once. */
const beginLifetime = (world: World, before: DrainReport.DrainReport) =>
  Effect.gen(function*() {
    yield* world.listener.reset
    yield* world.listener.open
    const served = yield* Effect.result(serve(world))
    if (Result.isFailure(served)) {
      if ((yield* world.listener.state) === "Open") {
        world.seen.errors.push("the serve of a lifetime that is Open failed")
      }
    } else if (served.success === before) {
      world.seen.errors.push("the serve of a lifetime ended with the report of the one before")
    }
  })

const restartErrors = ["InvalidOperation", "OperationAborted", "OperationTimedOut"] as const

/** Begins something and interrupts it, at whatever moment. */
const interrupted = (step: Step): Step => (world) => Effect.flatMap(Effect.forkChild(step(world)), Fiber.interrupt)

/** Asks for an answer, and reads it if it comes. */
const ask = (client: MemoryTransport.Client, text: string, world: World) =>
  Effect.ignore(Effect.gen(function*() {
    yield* client.write(text)
    world.seen.answered.push((yield* client.readText(text.length + 1)).slice(1))
  }))

/** Accepts two connections in one fiber, has each asked in a fiber of its own, and closes the listener meanwhile. */
const acceptTwo = (world: World): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { client, listener, seen, transport } = world
    if (client === undefined) return
    const asking = [
      yield* Effect.forkChild(ask(client, "one", world)),
      yield* Effect.forkChild(Effect.ignore(Effect.flatMap(transport.connect, (second) => ask(second, "two", world))))
    ]
    // what is in flight as the close begins; a client that asks later asks the closer's own connection
    const working = yield* Effect.forEach([1, 2], () => Deferred.make<void>())
    const accepts = Effect.forEach(working, (begun) =>
      Effect.flatMap(listener.accept, (connection) =>
        Effect.forkChild(
          Effect.ensuring(Effect.ignore(answerOne(seen, connection, begun)), Deferred.succeed(begun, undefined))
        )))
    yield* accepts.pipe(
      // with the accept that fails, the one before it ends as it is
      Effect.tapError(() =>
        Effect.sync(() => {
          seen.cutShort = true
        })
      ),
      Effect.tap(() => Effect.forEach(working, Deferred.await)),
      Effect.tap(() => operation("close", closeErrors, () => recordedClose(world))(world)),
      Effect.flatMap((fibers) => Effect.forEach(fibers, Fiber.await)),
      // an answer that has arrived may not have been read yet
      Effect.andThen(Effect.forEach(asking, Fiber.await)),
      Effect.scoped,
      Effect.ignore
    )
  })

const answerOne = (seen: World["seen"], connection: Connection.Connection, begun: Deferred.Deferred<void>) =>
  Effect.scoped(Effect.gen(function*() {
    const pull = yield* Socket.readerString(connection.socket)
    const writer = yield* connection.socket.writer
    const text = (yield* pull).join("")
    yield* connection.exchange(
      text,
      Effect.suspend(() => {
        seen.executed.push(text)
        Deferred.doneUnsafe(begun, Exit.void)
        // longer than what a connection has that no close waits for
        return Effect.andThen(Effect.sleep(2 * abortGrace), writer.write(`=${text}`))
      })
    )
  }))

const deadline = 1000
const abortGrace = 100

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
          seen.cutShort = true
        }),
        listener.abort
      )
  },
  reset: { needs: "open", step: operation("reset", ["InvalidOperation"], ({ listener }) => listener.reset) },
  serve: { needs: "open", step: operation("serve", ["ListenerFaulted"], serve) },
  "next lifetime": {
    needs: "open",
    step: operation(
      "next lifetime",
      restartErrors,
      (world) => Effect.flatMap(world.listener.closed, (report) => beginLifetime(world, report))
    )
  },
  "accept until it fails": {
    needs: "open",
    step: operation("accept until it fails", restartErrors, (world) =>
      Effect.gen(function*() {
        yield* Effect.ignore(Effect.forever(Effect.scoped(world.listener.accept)))
        yield* beginLifetime(world, yield* recordedClose(world))
      }))
  },
  "accept two": { needs: "client", step: acceptTwo },
  refuse: {
    needs: "client",
    step: ({ seen, transport }) =>
      Effect.ignore(Effect.scoped(Effect.gen(function*() {
        const client = yield* transport.connect
        yield* Effect.ignore(client.write("more"))
        const text = yield* client.readAllText
        seen.refusals.push(`${text} ${yield* client.ended}`)
        if (text.startsWith("=")) seen.answered.push(text.slice(1))
      })))
  },
  "queued client leaves": {
    needs: "open",
    step: ({ transport }) => Effect.ignore(Effect.scoped(Effect.flatMap(transport.connect, (client) => client.reset)))
  },
  "transport throws": {
    needs: "client",
    step: (world) =>
      Effect.sync(() => {
        world.seen.cutShort = true
        world.throwing = true
      })
  },
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
        seen.cutShort = true
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
        seen.cutShort = true
      }).pipe(Effect.andThen(client === undefined ? Effect.void : Effect.ignore(client.write("hold"))))
  }
} satisfies Record<string, { readonly needs: "created" | "open" | "client"; readonly step: Step }>

export type EventName = keyof typeof events

// the keys of a record are widened
const names = Object.keys(events) as ReadonlyArray<EventName>

/** Events that may wait for what no other brings. */
const waits: ReadonlyArray<EventName> = [
  "accept",
  "accept too",
  "connection arrives",
  "exchange",
  "serve",
  "next lifetime",
  "accept until it fails",
  "accept two",
  "refuse"
]

/** Events that are combined with each other in pairs, and in threes with what ends a lifetime. */
const inPairs: ReadonlyArray<EventName> = [
  "serve",
  "next lifetime",
  "accept until it fails",
  "accept two",
  "refuse",
  "queued client leaves",
  "transport throws"
]
const endings: ReadonlyArray<EventName> = ["close", "abort", "interrupt close", "exchange", "deadline"]

/** Every pair of events, and every three of them but for those with an event that comes in pairs and no ending. */
export const combinations: ReadonlyArray<ReadonlyArray<EventName>> = names.flatMap((a, i) =>
  names.slice(i + 1).flatMap((b, j) => [
    [a, b],
    ...names.slice(i + j + 2).map((c) => [a, b, c])
  ])
).filter((combination) => {
  const rest = combination.filter((name) => !inPairs.includes(name))
  return combination.length === 2 || rest.length === 3 ||
    (rest.length === 2 && rest.every((name) => endings.includes(name)))
})

const handler = (seen: World["seen"]) =>
  Effect.fnUntraced(function*(connection: Connection.Connection) {
    const pull = yield* Socket.readerString(connection.socket)
    const writer = yield* connection.socket.writer
    // a finalizer that needs less than the abort grace
    yield* Effect.addFinalizer((exit) => Exit.hasInterrupts(exit) ? Effect.sleep(abortGrace / 2) : Effect.void)
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

/** What must hold, whatever the order; the first thing that does not. */
const broken = (
  world: World,
  combination: ReadonlyArray<EventName>,
  { client, metrics, open, state }: End
): string | undefined => {
  const { accepted, answered, cutShort, errors, executed, refusals, reports } = world.seen
  // in a lifetime after a reset, ids begin anew
  const live = combination.includes("reset")
  const cuts = ["deadline", "abort", "transport throws"].some((name) => (combination as Array<string>).includes(name))
  const longest = (combination.includes("deadline") || combination.includes("transport throws") ? deadline : 0) +
    (cuts ? abortGrace : 0) + (combination.includes("accept two") ? 2 * abortGrace : 0)
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
    if (Object.values(ends).some((count) => count < 0)) return "a count is below zero"
    if (report.handlersLeftBehind.length > 0 && !(combination.includes("abort") && combination.includes("deadline"))) {
      return "a handler was left behind that needs less than the abort grace"
    }
    if (report.cut.length !== report.connections.cut) return `${report.connections.cut} cut, ${report.cut.length} named`
    if (report.duration > longest) return `a close took ${report.duration} ms, where nothing was in flight for so long`
  }
  if (metrics.accepted !== metrics.ended || metrics.open !== 0) {
    return `${metrics.accepted} accepted, ${metrics.ended} ended, ${metrics.open} open`
  }
  if (!cutShort && client === "Reset") return "a client that was connected was reset"
  if (!cutShort && executed.length !== answered.length) {
    return `${executed.length} requests were executed, ${answered.length} answered`
  }
  // let in once there was room, refused before
  if (!cutShort && refusals.some((refusal) => !["busy Fin", "=more Fin", " Fin"].includes(refusal))) {
    return `refused: ${refusals.join(", ")}`
  }
  return undefined
}

/** The transport, which begins to throw where a transport may be asked anything. */
const throwingLater = (memory: MemoryTransport.MemoryTransport, isThrowing: () => boolean): Transport.Transport => {
  const fail = <A>(otherwise: () => A): A => {
    if (isThrowing()) throw new Error("the transport throws")
    return otherwise()
  }
  const mapped = Transport.mapConnections(memory, (connection) =>
    Transport.wrapConnection(connection, {
      bytesPending: () => fail(() => connection.bytesPending()),
      endReading: (error) => fail(() => connection.endReading(error)),
      settled: Effect.suspend(() => fail(() => connection.settled)),
      goodbye: (linger) => fail(() => connection.goodbye(linger))
    }))
  return {
    name: mapped.name,
    bind: Effect.map(mapped.bind, (bound) => ({
      address: bound.address,
      accept: bound.accept,
      stop: Effect.suspend(() => fail(() => bound.stop))
    }))
  }
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
      refusals: [],
      cutShort: false
    }
    const owner = yield* Scope.make()
    const admission: Admission.AdmissionOptions = combination.includes("refuse")
      ? { maxConnections: 1, overflow: "reject" }
      : {}
    let throwing = (): boolean => false
    const { client, first, listener } = yield* Interleavings.atomic(Effect.gen(function*() {
      const listener = yield* Scope.provide(
        Listener.make(
          combination.includes("transport throws") ? throwingLater(transport, () => throwing()) : transport,
          {
            admission,
            drain: { deadline, idleGrace: 0, abortGrace, linger: { idle: 0 } }
          }
        ),
        owner
      )
      // with a handler in place, or with accepts alone
      const serving = !combination.some((name) => name.includes("accept"))
      // a connection that is never asked would hold the close
      const idle = combination.some((name) => inPairs.includes(name)) ? "pull" : "handler"
      const refuse = (connection: Connection.Connection) =>
        Effect.scoped(Effect.flatMap(connection.socket.writer, (writer) => Effect.ignore(writer.write("busy"))))
      const first = serving
        ? yield* Effect.forkDetach(
          Effect.ignore(Listener.serve(listener, handler(seen), { refuse, idle }))
        )
        : undefined
      if (!needs.includes("created")) yield* Effect.orDie(listener.open)
      const connected = needs.includes("client") && !needs.includes("created")
      return { listener, first, client: connected ? yield* Effect.orDie(transport.connect) : undefined }
    }))
    const world: World = { transport, listener, client, seen, throwing: false }
    throwing = () => world.throwing
    const fibers = yield* Effect.forEach(combination, (name) => Effect.forkChild(events[name].step(world)))
    // the owner waits for what ends by itself, and ends what does not
    yield* Effect.forEach(fibers, (fiber, i) => waits.includes(combination[i]!) ? Effect.void : Fiber.join(fiber))
    yield* Scope.close(owner, Exit.void)
    yield* Effect.forEach(fibers, Fiber.join)
    if (first !== undefined) yield* Fiber.join(first)
    const problem = broken(world, combination, {
      state: yield* listener.state,
      open: yield* transport.open,
      // after a reset of its own it sees no end
      client: client === undefined || combination.includes("connection ends") ? undefined : yield* client.ended,
      metrics: yield* scrape(transport.name)
    })
    if (problem !== undefined) return yield* Effect.die(problem)
  }).pipe(
    Effect.scoped,
    (program) => Effect.suspend(() => Effect.provideService(program, Metric.MetricRegistry, new Map()))
  )

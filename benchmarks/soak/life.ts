/**
 * One life of one listener under load: it opens, good clients ask, bad clients
 * do what they do, faults happen, limits are met, it closes. What was executed
 * must have been answered, or its connection be named; and at every look the
 * metrics must add up.
 */
import type { DrainReport } from "@effect-listener/core/DrainReport"
import * as Listener from "@effect-listener/core/Listener"
import type { Transport } from "@effect-listener/core/Transport"
import * as BadClients from "@effect-listener/testing/BadClients"
import * as Faults from "@effect-listener/testing/Faults"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import { scrape } from "../../packages/core/test/support/metrics.ts"
import { type Protocol, Reader } from "./protocols.ts"
import type { Tally } from "./tally.ts"

export interface Kind {
  /** Of its own: metrics go by it. */
  readonly name: string
  readonly transport: Transport
  readonly protocol: Protocol
  readonly target: (port: number) => BadClients.Target
  /** Faults are for byte protocols: HTTP takes the socket itself. */
  readonly faulty: boolean
}

/** What is known of one request of a good client. */
interface Asked {
  readonly id: number
  /** Whether all of it had been written when the close began. */
  early: boolean
  /** The connection on which it was executed. */
  connection: number | undefined
  answered: boolean
}

let ids = 0

/** A request that no good client has asked: its number is not looked for. */
const ofBadClient = 0

const between = (min: number, max: number) => Random.nextIntBetween(min, max)
const chance = (share: number) => Effect.map(Random.next, (dice) => dice < share)

/** Fails with what should never happen to a listener at all; the rest is tallied. */
export const life = (kind: Kind, seed: string, tally: Tally): Effect.Effect<void, unknown> =>
  Effect.scoped(live(kind, seed, tally)).pipe(Random.withSeed(`${seed} ${kind.name}`))

const live = Effect.fnUntraced(function*(kind: Kind, seed: string, tally: Tally) {
  const { name, protocol } = kind
  const faulty = kind.faulty && (yield* chance(0.7))
  const plan = yield* Faults.random({ seed, connections: 200, share: faulty ? 0.25 : 0, bytes: 20_000 })
  const transport = Faults.wrap(kind.transport, plan)
  const limited = yield* chance(0.25)
  const limits = {
    admission: {
      maxConnections: yield* between(3, 20),
      overflow: (yield* Random.nextBoolean) ? "wait" as const : "reject" as const,
      maxQueued: yield* between(0, 10)
    },
    timeouts: { handshake: 300, firstByte: 300, head: 300, inactivity: 300 }
  }
  const drain = {
    lameDuck: (yield* Random.nextBoolean) ? 0 : yield* between(50, 300),
    deadline: yield* between(400, 2000),
    idleGrace: (yield* Random.nextBoolean) ? 0 : yield* between(0, 100),
    abortGrace: 500,
    linger: { idle: 100 }
  }
  const asked = new Map<number, Asked>()
  const before = yield* scrape(name)
  // HTTP takes the socket itself, and a wrapped transport would hide it
  const listener = yield* Listener.listen(kind.faulty ? transport : kind.transport, {
    name,
    drain,
    ...(limited ? limits : {})
  })
  const handler = yield* protocol.handler((id, connection) => {
    const request = asked.get(id)
    if (request !== undefined) request.connection = connection
  })
  yield* Effect.forkScoped(Effect.ignore(Listener.serve(listener, handler, { idle: protocol.idle })), {
    startImmediately: true
  })
  const look = lookAt(listener, name, seed, tally)
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(25), look)))
  const address = yield* listener.address
  const target = kind.target(address._tag === "UnixPathAddress" ? 0 : address.port)
  // without a grace half a TLS handshake is broken off, and a client may believe that it is done
  const served = drain.idleGrace > 0 || !("tls" in target)

  let over = false
  let closing = false
  /** Clients that were connected when the close began, and those of them that were reset. */
  let connected = 0
  let resets = 0
  /** Asks until it is told to go or has had enough; what is not answered is for later. */
  const ask = Effect.fnUntraced(function*(client: BadClients.Client) {
    const early = !closing
    if (early) connected++
    tally.connections++
    const reader = new Reader(client)
    let executed = false
    for (let left = yield* between(1, 12); left > 0 && !over; left--) {
      const bytes = yield* size
      const request = { id: ++ids, millis: yield* between(0, 30), bytes }
      const note: Asked = { id: request.id, early: false, connection: undefined, answered: false }
      asked.set(request.id, note)
      // a client that does not read at once leaves the answer in the kernels, and what they do not hold in the server
      const pause = bytes > kernelHolds ? yield* between(20, 400) : (yield* chance(0.2)) ? yield* between(20, 150) : 0
      const again = yield* Effect.result(
        Effect.gen(function*() {
          yield* client.write(protocol.request(request))
          note.early = !closing
          yield* Effect.sleep(pause)
          return yield* protocol.answer(reader, request)
        })
      )
      executed ||= note.connection !== undefined
      if (again._tag === "Failure") {
        if (early && !executed && served && (yield* client.observed).ending === "Reset") resets++
        return
      }
      note.answered = true
      tally.exchanges++
      asked.delete(request.id)
      if (!again.success) return
      yield* Effect.sleep(yield* between(0, 20))
    }
  })
  const client = Effect.scoped(
    Effect.matchEffect(BadClients.connect(target), { onFailure: () => Effect.sleep(20), onSuccess: ask })
  )
  // some clients come back while the listener closes, others do not
  const stubborn = yield* Random.nextBoolean
  const comesBack = () => !over && (stubborn || !closing)
  const good = yield* Effect.forEach(
    Array.from({ length: yield* between(5, 30) }),
    (_, index) =>
      Effect.forkScoped(Random.withSeed(
        Effect.whileLoop({ while: comesBack, body: () => client, step: () => {} }),
        `${seed} ${name} client ${index}`
      ))
  )

  const bad = yield* Effect.forEach(
    Array.from({ length: yield* between(0, 6) }),
    () => Effect.flatMap(badClient(protocol), (client) => Effect.forkScoped(client(target, protocol)))
  )
  tally.badClients += bad.length
  yield* Effect.sleep(yield* between(50, 1500))

  // these the listener has not seen yet when it closes
  const late = yield* BadClients.crowd(target, yield* between(0, 15))
  const asking = yield* Effect.forEach(late, (client) => Effect.forkScoped(ask(client), { startImmediately: true }))
  closing = true
  const begun = performance.now()
  const abort = yield* Random.next
  if (abort < 0.1) yield* listener.abort
  else if (abort < 0.2) yield* Effect.forkScoped(Effect.delay(listener.abort, yield* between(0, 500)))
  const report = yield* Effect.catch(
    listener.close(),
    (error) =>
      (error._tag === "OperationTimedOut" || error._tag === "OperationAborted") && error.report !== undefined
        ? Effect.succeed(error.report)
        : Effect.fail(error)
  )
  const beyond = performance.now() - begun - drain.lameDuck - drain.deadline
  over = true
  tally.closes++
  tally.worst = Math.max(tally.worst, beyond)
  tally.beyond = Math.max(tally.beyond, beyond - drain.abortGrace)

  // answered clients still read their answers; cut ones have seen it
  yield* Effect.forEach([...good, ...asking], (fiber) => Effect.timeoutOption(Fiber.await(fiber), "5 seconds"), {
    concurrency: "unbounded"
  })
  yield* look
  const of = `${name}, ${seed}`
  const faults = new Set(
    plan.injections.filter(({ fault }) => fault._tag !== "AcceptError").map(({ connection }) => connection + 1)
  )
  const after = yield* scrape(name)
  // only where nothing else may have kept it from being served
  const undisturbed = !faulty && !limited && report.outcome === "Drained" && !report.sweepCut
  const losses = [
    ...unanswered(asked, report, faults),
    ...undisturbed ? unserved(asked) : [],
    ...undisturbed && resets > 0 ? [`${resets} clients were connected before the close and reset`] : [],
    ...report.outcome !== "Aborted" && !report.sweepCut ? uncounted(connected + bad.length, before, after) : []
  ]
  tally.lost += losses.length
  for (const loss of losses) tally.find(`${of}: ${loss}`)
  for (const wrong of sums(report, before, after)) tally.find(`${of}: ${wrong}`)
  for (const [reason, count] of Object.entries(after.endedBy)) {
    tally.ended[reason] = (tally.ended[reason] ?? 0) + count - (before.endedBy[reason] ?? 0)
  }
  tally.refused += total(after.refusedBy) - total(before.refusedBy)
  tally.faults += (yield* transport.injected).length
})

/** More than two sockets of one machine hold between them, in bytes. */
const kernelHolds = 8 << 20

/** Small answers, now and then a large one, and one that its server has to hold. */
const size = Effect.flatMap(
  Random.next,
  (dice) =>
    dice < 0.03 ? between(kernelHolds, 2 * kernelHolds) : dice < 0.1 ? between(1 << 18, 2 << 20) : between(0, 4000)
)

// --- what must hold

/** Executed and not answered, though neither the report nor a fault says why. */
const unanswered = (
  asked: ReadonlyMap<number, Asked>,
  report: DrainReport,
  faults: ReadonlySet<number>
): ReadonlyArray<string> => {
  const named = new Set([...report.cut, ...report.handlersLeftBehind].map(({ id }) => id))
  return Array.from(asked.values()).flatMap(({ answered, connection, id }) =>
    answered || connection === undefined || named.has(connection) || faults.has(connection)
      ? []
      : [`request ${id} was executed on connection ${connection} and not answered`]
  )
}

/** Had reached the machine when the close began, and was never executed. */
const unserved = (asked: ReadonlyMap<number, Asked>): ReadonlyArray<string> =>
  Array.from(asked.values()).flatMap(({ connection, early, id }) =>
    early && connection === undefined ? [`request ${id} was written before the close and never executed`] : []
  )

type Scrape = Effect.Success<ReturnType<typeof scrape>>

const total = (counts: { readonly [name: string]: number }): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0)

/** Connected, and neither let in nor refused. */
const uncounted = (connected: number, before: Scrape, after: Scrape): ReadonlyArray<string> => {
  const counted = after.accepted - before.accepted + total(after.refusedBy) - total(before.refusedBy)
  return counted >= connected ? [] : [`${connected} clients were connected before the close, ${counted} are counted`]
}

/** Looks at the metrics of a listener, and at the connections it has in the same moment. */
const lookAt = (listener: Listener.Listener, name: string, seed: string, tally: Tally): Effect.Effect<void> =>
  Effect.zipWith(scrape(name), listener.connections, (now, connections) => {
    tally.scrapes++
    const wrong = [
      now.accepted === now.ended + now.open ? "" : `${now.accepted} accepted, ${now.ended} ended, ${now.open} open`,
      // refused ones are shown as long as they are there, and were never let in
      now.open <= connections.length ? "" : `${now.open} open, ${connections.length} connections`,
      now.exchanges === now.exchangesTimed + now.exchangesOpen
        ? ""
        : `${now.exchanges} exchanges, ${now.exchangesTimed} ended, ${now.exchangesOpen} open`,
      now.queued <= now.open ? "" : `${now.queued} queued, ${now.open} open`
    ].filter((text) => text !== "")
    if (wrong.length === 0) return
    tally.wrong++
    tally.find(`${name}, ${seed}: the metrics say ${wrong.join(" and ")}`)
  }).pipe(Effect.provideService(Scheduler.PreventSchedulerYield, true))

/** What a life has added to the metrics, beside what its close has reported. */
const sums = (report: DrainReport, before: Scrape, after: Scrape): ReadonlyArray<string> => {
  const { total: connections, ...reasons } = report.connections
  const accepted = after.accepted - before.accepted
  const ended = after.ended - before.ended
  const refused = total(after.refusedBy) - total(before.refusedBy)
  return [
    total(reasons) === connections ? "" : `${connections} connections in the report, for ${total(reasons)} reasons`,
    // one that was refused, and would not go, is named as well, and was never let in
    report.cut.length >= reasons.cut && report.cut.length <= reasons.cut + refused
      ? ""
      : `${reasons.cut} connections were cut, ${report.cut.length} are named`,
    after.open === 0 && accepted === ended ? "" : `closed, ${accepted} accepted, ${ended} ended, ${after.open} open`,
    ...Object.entries(reasons).map(([reason, count]) => {
      const counted = (after.endedBy[reason] ?? 0) - (before.endedBy[reason] ?? 0)
      return count <= counted ? "" : `${count} ${reason} in the report, ${counted} in the metrics`
    })
  ].filter((text) => text !== "")
}

// --- bad clients

type Bad = (target: BadClients.Target, protocol: Protocol) => Effect.Effect<unknown, never, Scope.Scope>

const requestOf = (protocol: Protocol, bytes: number) => ({
  request: protocol.request({ id: ofBadClient, millis: 10, bytes })
})

/** Half of them are hostile, where a protocol has such clients. */
const badClient = (protocol: Protocol): Effect.Effect<Bad> =>
  Effect.flatMap(chance(0.5), (dice) => {
    const kinds = dice && protocol.hostile.length > 0 ? protocol.hostile : badClients
    return Effect.map(between(0, kinds.length - 1), (index) => kinds[index]!)
  })

const badClients: ReadonlyArray<Bad> = [
  (target) => BadClients.preconnect(target),
  (target, protocol) => BadClients.halfHead(target, requestOf(protocol, 10)),
  (target) => BadClients.halfClientHello(target),
  (target, protocol) =>
    Effect.orDie(BadClients.slowReader(target, { ...requestOf(protocol, 4 << 20), bytesPerSecond: 100_000 })),
  (target, protocol) => Effect.orDie(BadClients.slowWriter(target, requestOf(protocol, 10))),
  (target, protocol) => BadClients.vanished(target, requestOf(protocol, 16 << 20)),
  (target, protocol) => BadClients.finThenWait(target, requestOf(protocol, 1000)),
  (target, protocol) => BadClients.pipeliner(target, { ...requestOf(protocol, 1000), count: 20 }),
  (target, protocol) => BadClients.resetMidResponse(target, { ...requestOf(protocol, 1 << 20), after: 1000 }),
  (target) => BadClients.silentWebSocket(target)
]

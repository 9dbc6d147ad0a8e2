/**
 * A listener beside a model of it: the pure state table, and counts of what waits. The same commands are given to both,
 * and after each of them what can be seen must be the same.
 */
import { type DrainReport, Listener, ListenerState, Transport } from "@effect-listener/core"
import type * as TransportLaws from "@effect-listener/testing/TransportLaws"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * What is done to both. The operations of the table, what happens by itself (a bind succeeds or fails, the sweep ends,
 * the listening socket dies), interruptions, and what clients and holders of connections do.
 */
export const Command = Schema.Literals([
  "open",
  "accept",
  "close",
  "abort",
  "reset",
  "bound",
  "bindFailed",
  "swept",
  "fault",
  "interruptOpen",
  "interruptAccept",
  "interruptClose",
  "connect",
  "clientEnds",
  "clientResets",
  "release"
])
export type Command = typeof Command.Type

/** What must be the same in both. */
interface Seen {
  readonly state: ListenerState.ListenerState
  /** Accepts that wait, and connections that were accepted and whose scope is open. */
  readonly waiting: number
  readonly held: number
  /** Connections the listener knows of. */
  readonly known: number
  readonly opening: boolean
  readonly closing: boolean
}

class Disagreement extends Error {}

const agree = (condition: boolean, what: string): Effect.Effect<void, Disagreement> =>
  condition ? Effect.void : Effect.fail(new Disagreement(what))

/** A connection as the model knows it. */
interface Connected {
  readonly client: TransportLaws.Client
  /** Its client has ended its side. */
  ended: boolean
}

interface Accepted {
  readonly scope: Scope.Closeable
}

/** A call that was made and has not answered. */
type Call = Fiber.Fiber<unknown, { readonly _tag: string }>

/** How a call ended, if it has: its error's tag, or a word. */
const endOf = (call: Call): string | undefined => {
  const exit = call.pollUnsafe()
  if (exit === undefined) return undefined
  if (Exit.isSuccess(exit)) return "success"
  return Option.match(Cause.findErrorOption(exit.cause), {
    onNone: () => Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : Cause.pretty(exit.cause),
    onSome: ({ _tag }) => _tag
  })
}

/** The transport, with a gate before its bind succeeds and one before its sweep ends, and a way to die. */
const gated = (transport: Transport.Transport) => {
  const gates: {
    bind: Deferred.Deferred<void, Transport.TransportBindError> | undefined
    sweep: Deferred.Deferred<void>
    death: Deferred.Deferred<never, Transport.TransportAcceptError>
  } = { bind: undefined, sweep: Deferred.makeUnsafe(), death: Deferred.makeUnsafe() }
  const bind: Transport.Transport["bind"] = Effect.gen(function*() {
    const gate = gates.bind = Deferred.makeUnsafe<void, Transport.TransportBindError>()
    yield* Deferred.await(gate)
    const bound = yield* transport.bind
    const sweep = gates.sweep = Deferred.makeUnsafe<void>()
    const death = gates.death = Deferred.makeUnsafe<never, Transport.TransportAcceptError>()
    return {
      address: bound.address,
      // an accept that is told of the death while a connection comes is told first: commands are given one at a time
      accept: Effect.raceFirst(Deferred.await(death), bound.accept),
      stop: Effect.andThen(Deferred.await(sweep), bound.stop)
    }
  })
  return { gates, transport: { name: "gated", bind } }
}

/** Gives the commands to a listener and to its model; fails where they disagree. */
export const run = (
  make: TransportLaws.MakeSubject,
  commands: ReadonlyArray<Command>,
  visit?: (state: ListenerState.ListenerState, command: Command) => void
): Effect.Effect<void, unknown> =>
  Effect.scoped(Effect.gen(function*() {
    const subject = yield* make
    const { gates, transport } = gated(subject.transport)
    const clientScope = yield* Effect.scope
    const owner = yield* Scope.make()
    const listener = yield* Scope.provide(
      Listener.make(transport, {
        drain: { deadline: "20 seconds", idleGrace: 0, abortGrace: "1 second", linger: { idle: 0 } }
      }),
      owner
    )

    // --- the listener's side: calls that have not answered
    let opening: Call | undefined
    let closing: Call | undefined
    let waiting: Array<{ readonly fiber: Call; readonly scope: Scope.Closeable }> = []
    const held: Array<Accepted> = []
    const clients: Array<Connected> = []
    const call = (effect: Effect.Effect<unknown, { readonly _tag: string }>): Effect.Effect<Call> =>
      Effect.forkDetach(effect, { startImmediately: true })

    // --- the model's side
    let state = "Created" as ListenerState.ListenerState
    let sweeping = false
    /** Why it is faulted: an abort cuts, a fault leaves connections alone. */
    let aborted = false
    let waits = 0
    /** Those that nothing has taken, first come first. */
    let queued: ReadonlyArray<Connected> = []
    let open = 0
    /** Of those that are open, how many an abort has cut: their scopes are still to be closed. */
    let cut = 0
    let interrupted = false
    /** What accepts that waited must have failed with now, if they have, and how an open and a close must have ended. */
    let acceptsFail: string | undefined
    let openEnds: string | undefined
    let closeEnds: string | undefined

    const seen = Effect.gen(function*(): Effect.fn.Return<Seen> {
      const over = waiting.filter(({ fiber }) => endOf(fiber) !== undefined)
      waiting = waiting.filter((accept) => !over.includes(accept))
      for (const { fiber, scope } of over) {
        const end = endOf(fiber)
        if (end === "success") held.push({ scope })
        else failures.push(String(end))
      }
      return {
        state: yield* listener.state,
        waiting: waiting.length,
        held: held.length,
        known: (yield* listener.connections).length,
        opening: opening !== undefined && endOf(opening) === undefined,
        closing: closing !== undefined && endOf(closing) === undefined
      }
    })
    /** What accepts have failed with since the last command. */
    let failures: Array<string> = []

    const expected = (): Seen => ({
      state,
      waiting: waits,
      held: open,
      known: queued.length + open - cut,
      opening: state === "Opening",
      closing: state === "Closing" && !interrupted
    })

    /** Sockets take their time; nothing announces that they have. */
    const settle = (command: Command, before: ListenerState.ListenerState) =>
      Effect.gen(function*() {
        let looks = 0
        while (true) {
          const now = yield* seen
          const model = expected()
          if (JSON.stringify(now) === JSON.stringify(model)) return
          if (looks > mostLooks) {
            return yield* Effect.fail(
              new Disagreement(
                `${command} in ${before}: ${JSON.stringify(now)}, the model says ${JSON.stringify(model)}`
              )
            )
          }
          yield* nextLook(looks++)
        }
      })
    /** Completes when accepts are not served by the sweep any more. */
    const untilSwept = Effect.suspend(() =>
      listener.progress.pipe(Stream.takeUntil(({ stage }) => stage !== "Sweeping"), Stream.runDrain)
    )

    /** A connection goes to the accept that waits longest, or into the queue. */
    const arrive = (connection: Connected) => {
      if (waits > 0) {
        waits--
        open++
      } else queued = [...queued, connection]
    }
    const failAccepts = (tag: string) => {
      if (waits > 0) acceptsFail = tag
      waits = 0
    }
    const failuresOf = (tag: string | undefined) =>
      agree(
        failures.every((failure) => failure === tag),
        `accepts failed with ${failures.join(", ")}, the model says ${tag ?? "none does"}`
      )
    const ends = (call: Call | undefined, expected: string, what: string) => {
      const end = call === undefined ? undefined : endOf(call)
      return agree(end === expected, `${what}: ended with ${end}, the model says ${expected}`)
    }
    /** A drain that waits for nothing ends by itself. */
    const drainIfDone = () => {
      if (state !== "Closing" || sweeping || open > cut) return
      state = Result.getOrThrow(ListenerState.transition(state, "drained")).next
    }
    const endSweep = () => {
      sweeping = false
      failAccepts("OperationAborted")
      queued = []
      drainIfDone()
    }

    const operations: { readonly [Op in ListenerState.Operation]: Effect.Effect<void, unknown> } = {
      open: Effect.gen(function*() {
        const step = ListenerState.transition(state, "open")
        if (Result.isFailure(step)) return yield* refused("open", listener.open, step.failure)
        state = step.success.next
        opening = yield* call(listener.open)
        // an open waits for the bind before it to be released
        for (let looks = 0; gates.bind === undefined; looks++) yield* nextLook(looks)
      }),
      accept: Effect.gen(function*() {
        const step = ListenerState.transition(state, "accept")
        if (!(state === "Closing" && sweeping) && Result.isFailure(step)) {
          return yield* refused("accept", Effect.scoped(listener.accept), step.failure)
        }
        const scope = yield* Scope.make()
        waiting.push({ fiber: yield* call(Scope.provide(listener.accept, scope)), scope })
        if (queued.length > 0) {
          queued = queued.slice(1)
          open++
        } else waits++
      }),
      close: Effect.gen(function*() {
        const step = ListenerState.transition(state, "close")
        if (Result.isFailure(step)) return yield* refused("close", listener.close(), step.failure)
        const from = state
        state = step.success.next
        interrupted = false
        closeEnds = undefined
        closing = yield* call(Effect.flatMap(listener.close(), checkReport))
        if (from === "Open") sweeping = true
        else if (from === "Faulted") {
          // its listening socket is gone, and an abort has cut everything
          queued = []
          if (aborted) cut = open
          drainIfDone()
          yield* untilSwept
        }
      }),
      abort: Effect.gen(function*() {
        const step = Result.getOrThrow(ListenerState.transition(state, "abort"))
        state = step.next
        yield* listener.abort
        switch (step.action) {
          case "CancelOpen":
            gates.bind = undefined
            openEnds = "OperationAborted"
            return
          case "Cut":
            aborted = true
            failAccepts("OperationAborted")
            queued = []
            cut = open
            return
          case "Escalate":
            closeEnds ??= "OperationAborted"
            cut = open
            endSweep()
            return
          default:
            return
        }
      }),
      reset: Effect.gen(function*() {
        const step = ListenerState.transition(state, "reset")
        if (Result.isFailure(step)) return yield* refused("reset", listener.reset, step.failure)
        yield* listener.reset
        state = step.success.next
      })
    }
    const refused = (operation: string, effect: Effect.Effect<unknown, { readonly _tag: string }>, refusal: string) =>
      Effect.flatMap(Effect.result(effect), (result) =>
        agree(
          Result.isFailure(result) && result.failure._tag === refusal,
          `${operation} in ${state}: ${
            Result.isFailure(result) ? result.failure._tag : "succeeded"
          }, the table says ${refusal}`
        ))

    const others: { readonly [Other in Exclude<Command, ListenerState.Operation>]: Effect.Effect<void, unknown> } = {
      bound: Effect.suspend(() => {
        const gate = gates.bind
        if (state !== "Opening" || gate === undefined) return Effect.void
        gates.bind = undefined
        aborted = false
        openEnds = "success"
        state = Result.getOrThrow(ListenerState.transition(state, "opened")).next
        return Deferred.succeed(gate, undefined)
      }),
      bindFailed: Effect.suspend(() => {
        const gate = gates.bind
        if (state !== "Opening" || gate === undefined) return Effect.void
        gates.bind = undefined
        openEnds = "AddressInUse"
        state = Result.getOrThrow(ListenerState.transition(state, "openFailed")).next
        return Deferred.fail(gate, Transport.TransportBindError.AddressInUse({ address: "model" }))
      }),
      swept: Effect.suspend(() => {
        if (state !== "Closing" || !sweeping) return Effect.void
        endSweep()
        return Effect.andThen(Deferred.succeed(gates.sweep, undefined), untilSwept)
      }),
      fault: Effect.suspend(() => {
        if (state !== "Open") return Effect.void
        state = Result.getOrThrow(ListenerState.transition(state, "fault")).next
        aborted = false
        failAccepts("ListenerFaulted")
        return Deferred.fail(
          gates.death,
          new Transport.TransportAcceptError({ class: "fatal", code: "EBADF", cause: "model" })
        )
      }),
      interruptOpen: Effect.suspend(() => {
        if (state !== "Opening" || opening === undefined) return Effect.void
        gates.bind = undefined
        openEnds = "interrupted"
        state = Result.getOrThrow(ListenerState.transition(state, "abort")).next
        return Fiber.interrupt(opening)
      }),
      interruptAccept: Effect.suspend(() => {
        const newest = waiting.at(-1)
        if (newest === undefined) return Effect.void
        waits--
        acceptsFail = "interrupted"
        return Fiber.interrupt(newest.fiber)
      }),
      interruptClose: Effect.suspend(() => {
        if (state !== "Closing" || closing === undefined) return Effect.void
        interrupted = true
        closeEnds = "interrupted"
        return Fiber.interrupt(closing)
      }),
      connect: Effect.gen(function*() {
        const client = yield* Effect.option(Scope.provide(subject.connect, clientScope))
        const listening = state === "Open" || (state === "Closing" && sweeping)
        yield* agree(
          Option.isSome(client) === listening,
          `connecting in ${state} ${Option.isSome(client) ? "succeeded" : "failed"}`
        )
        if (Option.isNone(client)) return
        const connection: Connected = { client: client.value, ended: false }
        clients.push(connection)
        arrive(connection)
      }),
      // one that has ended its side may still be answered, and keeps its place
      clientEnds: Effect.suspend(() => {
        const connection = clients.at(-1)
        if (connection === undefined) return Effect.void
        connection.ended = true
        return connection.client.end
      }),
      // one that has gone before anything has taken it has no place any more
      clientResets: Effect.suspend(() => {
        const connection = clients.pop()
        if (connection === undefined) return Effect.void
        // whether a socket hears of it depends on whether it has read the end before
        if (connection.ended && queued.includes(connection)) return Effect.void
        queued = queued.filter((one) => one !== connection)
        return connection.client.reset
      }),
      release: Effect.gen(function*() {
        const oldest = held.shift()
        if (oldest === undefined) return
        if (cut > 0) cut--
        open--
        yield* Scope.close(oldest.scope, Exit.void)
        drainIfDone()
      })
    }
    const commandOf = (command: Command): Effect.Effect<void, unknown> => ({ ...operations, ...others })[command]

    for (const command of commands) {
      visit?.(state, command)
      const before = state
      failures = []
      acceptsFail = openEnds = undefined
      yield* commandOf(command)
      yield* settle(command, before)
      yield* failuresOf(acceptsFail)
      if (openEnds !== undefined) yield* ends(opening, openEnds, `an open, ${command}`)
      if (before === "Closing" && state === "Closed") {
        yield* ends(closing, closeEnds ?? "success", `a close, ${command}`)
      }
    }

    // the owner ends it, from wherever it is, and nothing is left
    yield* listener.abort
    yield* Deferred.succeed(gates.sweep, undefined)
    const release = Effect.forEach(held, ({ scope }) => Scope.close(scope, Exit.void), { discard: true })
    // an abort has cut held clients, and nothing waits for them; a fault has left them alone, and its drain would
    if (state === "Faulted" && !aborted) yield* release
    yield* Scope.close(owner, Exit.void)
    yield* release
    yield* agree((yield* listener.state) === "Closed", "the owner's scope did not close the listener")
    if (subject.held !== undefined) {
      for (let looks = 0; looks < mostLooks && (yield* subject.held) > 0; looks++) yield* nextLook(looks)
      const left = yield* subject.held
      yield* agree(left === 0, `${left} connections are left`)
    }
  })).pipe(Effect.provideService(References.MinimumLogLevel, "None"))

/** A look a millisecond: looks are counted and not the time, which a machine that is late has less of. */
const mostLooks = 3000

/** Most has happened a turn later. */
const nextLook = (looks: number): Effect.Effect<void> => looks < 20 ? Effect.yieldNow : Effect.sleep(1)

const checkReport = (report: DrainReport.DrainReport): Effect.Effect<DrainReport.DrainReport> => {
  const { total, ...reasons } = report.connections
  const sum = Object.values(reasons).reduce((sum, count) => sum + count, 0)
  return sum === total
    ? Effect.succeed(report)
    : Effect.die(new Disagreement(`${total} connections in a report, for ${sum} reasons`))
}

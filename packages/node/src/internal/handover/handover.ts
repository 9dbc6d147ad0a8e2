/**
 * The predecessor's side of a hand-over: asks `handoverState.ts` what to do about
 * each event, and does it.
 */
import type { DrainReport } from "@effect-listener/core/DrainReport"
import * as DurationOption from "@effect-listener/core/DurationOption"
import type { ListenerRegistry, Member } from "@effect-listener/core/ListenerRegistry"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import { HandoverFailed, type HandoverOptions, type HandoverReport, type UpgradeOptions } from "../../NodeHandover.ts"
import type { Entry } from "../display/display.ts"
import { cannotHold } from "../inherit/boundSocket.ts"
import type { BoundTo, Message } from "../inherit/protocol.ts"
import type { Shareable, Sharing } from "../inherit/sharing.ts"
import { whyNotAtOnce } from "../platform/causeText.ts"
import { formatHostPort } from "../platform/hostPort.ts"
import { commandOf } from "./command.ts"
import { type Action, decide, type Event, type Fault, initial, type State, unfit } from "./handoverState.ts"
import { reportOf } from "./reportOf.ts"
import { launch, type SuccessorProcess } from "./successorProcess.ts"

/** What a hand-over asks of the program that is handed over. */
export interface HandedOver {
  readonly options: HandoverOptions
  readonly sharing: Sharing
  readonly registry: ListenerRegistry
  readonly generation: Effect.Effect<number>
  /** Why it cannot be handed over now, if it cannot. */
  readonly refusal: () => Fault | undefined
  /** Closes, leaving the accept queues to the successor; `last` runs before the program is interrupted. */
  readonly leave: (
    successor: number,
    last: (reports: ReadonlyArray<DrainReport>, duration: number) => Effect.Effect<void>
  ) => void
  readonly say: (level: Entry["level"], event: string, message: string, annotations: Record<string, unknown>) => void
}

/** How many connections of its own a successor may try at each address. */
const tries = 20

/** How long a successor that may have accepted clients has to close (ms). */
const withdrawWithin = 5000

/** What `readyWithin` is where nothing is said (ms). */
const defaultReadyWithin = 30_000

export const failure = ({ detail, reason }: Fault): HandoverFailed =>
  new HandoverFailed({ operation: "upgrade", listener: "all", trail: [], reason, detail })

export class Handover {
  private readonly program: HandedOver
  private running: Attempt | undefined
  private starting = false

  constructor(program: HandedOver) {
    this.program = program
  }

  upgrade(given: UpgradeOptions): Effect.Effect<HandoverReport, HandoverFailed> {
    return Effect.suspend(() => {
      const refusal = this.refusal()
      if (refusal !== undefined) return Effect.fail(failure(refusal))
      this.starting = true
      return Effect.flatMap(
        Effect.onExit(this.begin(given), () =>
          Effect.sync(() => {
            this.starting = false
          })),
        (attempt) => attempt.await
      )
    })
  }

  /** The program closes for another reason. */
  cancel(reason: string): void {
    this.running?.on({ type: "Cancelled", detail: `the program closes: ${reason}` })
  }

  private refusal(): Fault | undefined {
    if (this.starting || this.running !== undefined) return { reason: "Busy", detail: "another hand-over runs" }
    const sockets = this.program.sharing.sockets.length
    return this.program.refusal() ?? unfit({ pid: process.pid, cannotHold, sockets })
  }

  private begin(given: UpgradeOptions): Effect.Effect<Attempt, HandoverFailed> {
    return Effect.gen({ self: this }, function*() {
      const { options, registry, sharing } = this.program
      const asked: Effect.Effect<UpgradeOptions, unknown> = options.next ?? Effect.succeed({})
      const next = yield* asked.pipe(
        Effect.catchCause((cause) =>
          Effect.fail(failure({ reason: "Refused", detail: `the option next failed: ${Cause.pretty(cause)}` }))
        )
      )
      const upgrade: UpgradeOptions = { ...options, ...next, ...given }
      const readyWithin = DurationOption.millis("readyWithin", upgrade.readyWithin ?? defaultReadyWithin)
      if (Result.isFailure(readyWithin)) {
        const { detail, parameter } = readyWithin.failure
        return yield* failure({ reason: "Refused", detail: `${parameter} ${detail}` })
      }
      const command = commandOf(upgrade, process)
      if (typeof command === "string") return yield* failure({ reason: "Refused", detail: command })
      const missing = withoutSocket(registry, sharing)
      if (missing !== undefined) return yield* failure({ reason: "Refused", detail: missing })
      const { sockets } = sharing
      const generation = (yield* this.program.generation) + 1
      const attempt = new Attempt({
        generation,
        sockets,
        readyWithin: readyWithin.success,
        verify: upgrade.verify ?? Effect.void,
        program: this.program,
        over: () => {
          this.running = undefined
        }
      })
      const successor = yield* Effect.promise(() =>
        launch(command, { pid: process.pid, generation }, sockets, attempt.handlers)
      )
      if (typeof successor === "string") return yield* failure({ reason: "Spawn", detail: successor })
      // a close may have begun meanwhile
      const late = this.program.refusal()
      this.running = attempt
      attempt.begin(successor)
      if (late !== undefined) attempt.on({ type: "Cancelled", detail: late.detail })
      return attempt
    }).pipe(Effect.uninterruptible)
  }
}

/** All listeners go, or none. */
const withoutSocket = (registry: ListenerRegistry, sharing: Sharing): string | undefined => {
  const left = new Map<string, number>()
  for (const { listener } of sharing.sockets) left.set(listener, (left.get(listener) ?? 0) + 1)
  for (const member of registry.members()) {
    // anything may be a member
    const open = Effect.runSyncExit(Effect.suspend(() => openIn(member)))
    if (Exit.isFailure(open)) {
      return `member "${member.name}" cannot say which listeners it has: ${whyNotAtOnce(open.cause)}`
    }
    for (const name of open.value) {
      const count = left.get(name) ?? 0
      if (count === 0) {
        return `listener "${name}" cannot be handed over: its transport has no socket that can be passed on`
      }
      left.set(name, count - 1)
    }
  }
  return undefined
}

const openIn = (member: Member): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function*() {
    const names: Array<string> = []
    for (const { listener, name } of yield* member.listeners ?? Effect.succeed([])) {
      if ((yield* listener.state) === "Open") names.push(name)
    }
    return names
  })

interface AttemptOptions {
  readonly generation: number
  readonly sockets: ReadonlyArray<Shareable>
  readonly readyWithin: number
  readonly verify: Effect.Effect<unknown, unknown>
  readonly program: HandedOver
  readonly over: () => void
}

/** One hand-over, from the start of the successor on. */
class Attempt {
  private readonly options: AttemptOptions
  private readonly result = Deferred.makeUnsafe<HandoverReport, HandoverFailed>()
  private state: State = initial
  private successor: SuccessorProcess | undefined
  private readonly startedAt = performance.now()
  private readyAfter = 0
  private probes = 0
  private waitsFor = ""
  private timer: NodeJS.Timeout | undefined
  private killer: NodeJS.Timeout | undefined
  /** What happened before the process was known. */
  private early: Array<Event> | undefined = []

  constructor(options: AttemptOptions) {
    this.options = options
  }

  readonly handlers = {
    onMessages: (messages: ReadonlyArray<Result.Result<Message, string>>) => {
      for (const message of messages) {
        if (Result.isSuccess(message)) this.hear(message.success)
        else this.on({ type: "Wrong", detail: `said what is ${message.failure}` })
      }
    },
    onSilent: () => this.on({ type: "Silent" }),
    onEnd: (how: string) => this.on({ type: "Ended", detail: `${how} before it had taken over` })
  }

  begin(successor: SuccessorProcess): void {
    this.successor = successor
    const { readyWithin } = this.options
    this.timer = setTimeout(() => {
      const waits = this.waitsFor === "" ? "" : `; it waits for ${this.waitsFor}`
      this.on({ type: "TimedOut", detail: `was not ready within ${readyWithin} ms${waits}` })
    }, Math.min(readyWithin, DurationOption.longestTimer))
    const early = this.early ?? []
    this.early = undefined
    for (const event of early) this.on(event)
  }

  /** Waits for its end. Interrupting that rolls it back, as long as there is a way back. */
  get await(): Effect.Effect<HandoverReport, HandoverFailed> {
    return Effect.onInterrupt(Deferred.await(this.result), () =>
      Effect.suspend(() => {
        this.on({ type: "Cancelled", detail: "the hand-over was interrupted" })
        return this.state.phase === "Leaving" ? Effect.void : Effect.asVoid(Effect.exit(Deferred.await(this.result)))
      }))
  }

  on(event: Event): void {
    if (this.early !== undefined) {
      this.early.push(event)
      return
    }
    const { action, next } = decide(this.state, event)
    this.state = next
    this.perform(action)
  }

  private hear(message: Message): void {
    switch (message.type) {
      case "waiting":
        this.waitsFor = message.detail
        return
      case "prepared":
        return this.on({ type: "Prepared" })
      case "accepting":
        this.probes = message.probes
        this.readyAfter = performance.now() - this.startedAt
        return this.on({ type: "Accepting" })
      case "failed":
        return this.on({ type: "Wrong", detail: message.detail })
      default:
        // about what it does when it accepts
        return
    }
  }

  private perform(action: Action): void {
    switch (action.type) {
      case "Go":
        return this.successor?.send({ type: "go", tries })
      case "Verify":
        // what it says twice comes at once
        setImmediate(() => setImmediate(() => this.verify()))
        return
      case "Leave":
        return this.leave()
      case "Kill":
        return this.successor?.kill()
      case "Withdraw":
        this.successor?.send({ type: "close", reason: "the hand-over was rolled back", deadline: withdrawWithin })
        this.killer = setTimeout(() => this.successor?.kill(), withdrawWithin)
        return
      case "Fail":
        return this.fail(action.fault)
      case "None":
        return
    }
  }

  private verify(): void {
    Effect.runFork(this.options.verify).addObserver((exit) =>
      this.on(
        Exit.isSuccess(exit)
          ? { type: "Verified" }
          : { type: "Wrong", detail: `was found wanting: ${Cause.pretty(exit.cause)}` }
      )
    )
  }

  private fail(fault: Fault): void {
    clearTimeout(this.timer)
    clearTimeout(this.killer)
    this.options.over()
    Deferred.doneUnsafe(this.result, Exit.fail(failure(fault)))
  }

  /** The successor serves: this program closes, and says how that went. */
  private leave(): void {
    clearTimeout(this.timer)
    const successor = this.successor!
    const { generation, program, sockets } = this.options
    const addresses = sockets.map(({ boundTo, name }) => ({ name, address: format(boundTo) }))
    const where = addresses.map(({ address, name }) => `${name} at ${address}`).join(", ")
    program.say("Info", "handover", `handed over to process ${successor.pid}, generation ${generation}: ${where}`, {
      successor: successor.pid,
      generation
    })
    successor.release()
    program.leave(successor.pid, (reports, duration) =>
      Effect.gen({ self: this }, function*() {
        const drain = reportOf(reports, duration)
        const report: HandoverReport = {
          pid: successor.pid,
          generation,
          readyAfter: this.readyAfter,
          probes: this.probes,
          sockets: addresses,
          drain
        }
        yield* Effect.callback<void>((resume) => {
          successor.leave({ type: "report", report: drain }, () => resume(Effect.void))
        })
        const { handedOver } = program.options
        if (handedOver !== undefined) {
          yield* Effect.catchCause(Effect.suspend(() => handedOver(report)), (cause) =>
            Effect.sync(() =>
              program.say("Error", "handedOver", `the option handedOver failed: ${Cause.pretty(cause)}`, {})
            ))
        }
        Deferred.doneUnsafe(this.result, Exit.succeed(report))
      }))
  }
}

const format = (boundTo: BoundTo): string =>
  boundTo.kind === "unix" ? boundTo.path : formatHostPort(boundTo.host, boundTo.port)

import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as LogLevel from "effect/LogLevel"
import type * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import { InvalidOperation, ListenerFaulted } from "../../ListenerError.ts"
import { type Action, type Event, type ListenerState, type Operation, transition } from "../../ListenerState.ts"
import { logLine, logsThrown } from "../telemetry/logLine.ts"
import { Broadcast } from "../util/broadcast.ts"
import { Signal } from "../util/condition.ts"
import type { ForeignOwner } from "../util/foreign.ts"
import type { BoundAddress } from "./manager.ts"

type Fork = <A, E>(effect: Effect.Effect<A, E>, options?: Effect.RunOptions) => Fiber.Fiber<A, E>

/** The state of a listener, which only the state machine changes, and what can be seen of it. */
export class Machine {
  readonly name: string
  protected bound: BoundAddress | undefined
  private readonly taking: "accept" | "receive"
  protected faultReason: ListenerFaulted["reason"] = "Aborted"
  protected readonly runFork: Fork
  private current: ListenerState = "Created"
  private readonly stateChanges = new Broadcast<ListenerState>()
  /** Something takes what arrives. */
  private isServed = false
  private readonly servingSignal = new Signal()

  /** `taking`: what errors call taking an arrival. */
  constructor(name: string, taking: "accept" | "receive", runFork: Fork) {
    this.name = name
    this.runFork = runFork
    this.taking = taking
    this.threw = logsThrown(name, runFork).threw
  }

  readonly state: Effect.Effect<ListenerState> = Effect.sync(() => this.current)

  get stateNow(): ListenerState {
    return this.current
  }

  get changes(): Stream.Stream<ListenerState> {
    return this.stateChanges.stream(() => ({ values: [this.current], complete: false }))
  }

  readonly address: Effect.Effect<NetAddress.SocketAddress, InvalidOperation> = Effect.suspend(() =>
    this.bound === undefined ? Effect.fail(this.invalidOperation("address")) : Effect.succeed(this.bound.address)
  )

  /** Completes when it is open and something takes what arrives, and where that is over. */
  readonly serving: Effect.Effect<void> = Effect.suspend(() =>
    this.servingSignal.until(() =>
      this.current === "Open" ? this.isServed : this.current !== "Created" && this.current !== "Opening"
    )
  )

  protected served(): void {
    if (this.isServed) return
    this.isServed = true
    this.servingSignal.notify()
  }

  /** Asks the state machine; a transition is recorded, published, and its action returned. */
  protected step(event: Event): Result.Result<Action, "InvalidOperation" | "ListenerFaulted"> {
    const step = transition(this.current, event)
    if (Result.isFailure(step)) return Result.fail(step.failure)
    if (step.success.action === "Forget") this.isServed = false
    if (step.success.next !== this.current) {
      this.current = step.success.next
      this.stateChanges.publish(this.current)
      this.servingSignal.notify()
    }
    return Result.succeed(step.success.action)
  }

  /** No state follows. */
  protected endChanges(): void {
    this.stateChanges.end()
  }

  protected at(operation: Operation | "address" | "setAdmission") {
    return { operation: operation === "accept" ? this.taking : operation, listener: this.name, trail: [] }
  }

  protected invalidOperation(operation: Operation | "address"): InvalidOperation {
    return new InvalidOperation({ ...this.at(operation), state: this.current })
  }

  protected faulted(operation: Operation): ListenerFaulted {
    return new ListenerFaulted({ ...this.at(operation), reason: this.faultReason })
  }

  /** One line for one event of the lifetime. */
  protected log(level: LogLevel.Severity, event: string, message: string, annotations: Record<string, unknown>): void {
    this.runFork(logLine(Effect.logWithLevel(level)(message), { event, listener: this.name, ...annotations }))
  }

  /** What foreign code threw where it could do no harm. */
  readonly threw: ForeignOwner["threw"]
}

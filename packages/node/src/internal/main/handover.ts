/**
 * A main program that can be handed over: its signal, and what a hand-over asks
 * of it.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { HandoverFailed, HandoverOptions, HandoverReport, UpgradeOptions } from "../../NodeHandover.ts"
import type { Entry } from "../display/display.ts"
import { failure, type HandedOver, Handover } from "../handover/handover.ts"
import { Sharing } from "../inherit/sharing.ts"
import { onSignal } from "./stopping/signals.ts"

export class MainHandover {
  readonly sharing = new Sharing()
  private readonly options: HandoverOptions & { readonly signal: NodeJS.Signals }
  private readonly program: Omit<HandedOver, "options" | "sharing">
  private handover: Handover | undefined

  constructor(
    options: HandoverOptions & { readonly signal: NodeJS.Signals },
    program: Omit<HandedOver, "options" | "sharing">
  ) {
    this.options = options
    this.program = program
  }

  /** Hands over at its signal; the result takes that back. */
  listen(): () => void {
    return onSignal([this.options.signal], (signal) => {
      Effect.runFork(this.upgrade({})).addObserver((exit) => {
        if (Exit.isSuccess(exit)) return
        const error = Cause.findErrorOption(exit.cause)
        const [message, reason] = Option.isSome(error)
          ? [error.value.message, error.value.reason]
          : [Cause.pretty(exit.cause), "Died"]
        this.say("Error", "handoverFailed", `${signal}: not handed over, and as it was: ${message}`, { reason })
      })
    })
  }

  upgrade(options: UpgradeOptions): Effect.Effect<HandoverReport, HandoverFailed> {
    return Effect.suspend(() => {
      this.handover ??= new Handover({ ...this.program, options: this.options, sharing: this.sharing })
      return this.handover.upgrade(options)
    })
  }

  /** The program closes for another reason. */
  cancel(reason: string): void {
    this.handover?.cancel(reason)
  }

  private say(level: Entry["level"], event: string, message: string, annotations: Record<string, unknown>): void {
    this.program.say(level, event, message, annotations)
  }
}

export const notHandedOver: Effect.Effect<never, HandoverFailed> = Effect.suspend(() =>
  Effect.fail(failure({
    reason: "Refused",
    detail: "the program is run without the option handover, or as a worker, which its supervisor replaces"
  }))
)

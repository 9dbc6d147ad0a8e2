/**
 * What the parts of a program ask of the `runMain` that runs it.
 */
import type { DrainReport } from "@effect-listener/core/DrainReport"
import type { HostReport } from "@effect-listener/core/ListenerHost"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { HandoverFailed, HandoverReport, UpgradeOptions } from "../../NodeHandover.ts"

export interface MainHandle {
  readonly upgrade: (options: UpgradeOptions) => Effect.Effect<HandoverReport, HandoverFailed>
  readonly generation: Effect.Effect<number>
  readonly predecessor: Effect.Effect<
    Option.Option<{ readonly pid: number; readonly report: Effect.Effect<Option.Option<DrainReport | HostReport>> }>
  >
  readonly accepting: Effect.Effect<void>
}

/** `None` where no `runMain` runs the program. */
export const CurrentMain: Context.Reference<Option.Option<MainHandle>> = Context.Reference(
  "@effect-listener/node/internal/CurrentMain",
  { defaultValue: () => Option.none<MainHandle>() }
)

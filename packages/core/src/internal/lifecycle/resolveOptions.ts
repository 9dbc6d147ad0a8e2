/**
 * What the options of any kind of listener mean.
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { TimeoutOptions } from "../../Admission.ts"
import type { DrainOptions } from "../../Drain.ts"
import type { ManagerOptions } from "../connection/connectionManager.ts"
import type { ResolvedAdmission } from "../options/admission.ts"
import { defaults, resolve } from "../options/drain.ts"
import type { TracingOptions } from "../options/listenerOptions.ts"
import { resolveName, shownName } from "../options/name.ts"
import type { BadOption } from "../options/time.ts"
import { resolveTimeouts, timeoutDefaults } from "../options/timeouts.ts"
import { publish } from "../telemetry/metrics.ts"
import type { LifecycleOptions } from "./manager.ts"

/** Options of a listener whose limits are `A`. */
export interface Options<A> {
  readonly name?: string | undefined
  readonly drain?: DrainOptions | undefined
  readonly admission?: A | undefined
  readonly timeouts?: TimeoutOptions | undefined
  readonly tracing?: TracingOptions | undefined
  readonly maskRemote?: boolean | undefined
}

/** What the limits of a kind of listener mean. */
export interface AdmissionKind<A> {
  readonly defaults: ResolvedAdmission
  readonly resolve: (options: A | undefined, base: ResolvedAdmission) => Result.Result<ResolvedAdmission, BadOption>
}

export type ResolvedOptions = LifecycleOptions & ManagerOptions

/** Options with every default filled in, and the first of them that is out of range: `open` says so. */
export const resolveOptions = <A>(
  transport: { readonly name: string },
  options: Options<A>,
  limits: AdmissionKind<A>,
  context: Context.Context<never>,
  clock: Clock.Clock
): ResolvedOptions => {
  const drain = resolve(options.drain, defaults)
  const admission = limits.resolve(options.admission, limits.defaults)
  const timeouts = resolveTimeouts(options.timeouts)
  const given = options.name ?? transport.name
  const named = resolveName(given)
  const name = Result.getOrElse(named, () => shownName(given))
  const times = Result.getOrElse(timeouts, () => timeoutDefaults)
  return {
    name,
    clock,
    context,
    drain: Result.getOrElse(drain, () => defaults),
    admission: Result.getOrElse(admission, () => limits.defaults),
    timeouts: times,
    openLimit: times.open,
    counts: publish(context, name),
    tracing: {
      context,
      clock,
      connections: options.tracing?.connections === true,
      exchanges: options.tracing?.exchanges === true
    },
    maskRemote: options.maskRemote === true,
    badOption: Option.getOrUndefined(
      Option.firstSomeOf([
        Result.getFailure(named),
        Result.getFailure(drain),
        Result.getFailure(admission),
        Result.getFailure(timeouts)
      ])
    )
  }
}

/**
 * The listeners of this program: how a main program finds those it has to close,
 * without a global.
 *
 * `NodeMain.runMain` puts a registry into the context of the program it runs;
 * `Listener.make` joins the one it finds there, until its scope closes.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { DatagramListener } from "./DatagramListener.ts"
import type { DrainProgress } from "./Drain.ts"
import type { DrainReport } from "./DrainReport.ts"
import type { Listener } from "./Listener.ts"

/**
 * A listener, or several that close as one, as a main program sees them.
 *
 * **Details**
 *
 * - `shutdown` brings it to `Closed` from any state and never fails: it joins a
 *   close that runs, and otherwise closes with the smaller of its own deadline
 *   and the given one. The reports, one a listener, say what happened. `queue` is
 *   that of `CloseOptions`.
 * - `serving` completes when it takes connections, open and served, or never will;
 *   left out, it does already.
 * - `progress` is the close as it runs.
 * - `listener` is the listener itself; a host of several has none.
 * - `listeners` are those that are in it: what they have in flight is named when
 *   the process ends without waiting for it.
 * - `context` is what it was made with: a main program logs with its loggers.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Member {
  readonly name: string
  readonly shutdown: (options: {
    readonly reason: string
    readonly deadline?: Duration.Input | undefined
    readonly queue?: "sweep" | "leave" | undefined
  }) => Effect.Effect<ReadonlyArray<DrainReport>>
  readonly serving?: Effect.Effect<void> | undefined
  readonly progress: Stream.Stream<DrainProgress>
  readonly listener?: Listener | DatagramListener | undefined
  readonly listeners?: Effect.Effect<ReadonlyArray<MemberListener>> | undefined
  readonly context?: Context.Context<never> | undefined
}

/**
 * A listener that is in a member, and what it has in flight.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface MemberListener extends Pick<Listener, "name" | "connections"> {
  readonly listener: Listener | DatagramListener
}

/**
 * What is in scope, in the order in which it was made.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface ListenerRegistry {
  /** Adds a member; call the result to take it out again. */
  readonly add: (member: Member) => () => void
  readonly members: () => ReadonlyArray<Member>
}

/**
 * The registry of the running program; `None` where none is provided.
 *
 * @stability experimental
 * @category references
 * @since 0.1.0
 */
export const CurrentRegistry: Context.Reference<Option.Option<ListenerRegistry>> = Context.Reference(
  "@effect-listener/core/ListenerRegistry/CurrentRegistry",
  { defaultValue: () => Option.none<ListenerRegistry>() }
)

/**
 * Makes an empty registry.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const make = (): ListenerRegistry => {
  const members = new Set<Member>()
  return {
    add: (member) => {
      members.add(member)
      return () => {
        members.delete(member)
      }
    },
    members: () => Array.from(members)
  }
}

import type { DrainProgress } from "@effect-listener/core/Drain"
import type { DrainReport } from "@effect-listener/core/DrainReport"
import * as ListenerRegistry from "@effect-listener/core/ListenerRegistry"
import * as Array from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** A registry that can tell of members that join later. */
export interface WatchedRegistry extends ListenerRegistry.ListenerRegistry {
  readonly onJoin: (handle: (member: ListenerRegistry.Member) => void) => void
}

export const watchedRegistry = (): WatchedRegistry => {
  const registry = ListenerRegistry.make()
  const joined = new Set<(member: ListenerRegistry.Member) => void>()
  return {
    members: registry.members,
    add: (member) => {
      const remove = registry.add(member)
      for (const handle of joined) handle(member)
      return remove
    },
    onJoin: (handle) => {
      joined.add(handle)
    }
  }
}

export interface CloseMembersOptions {
  readonly reason: string
  /** Milliseconds from now; lowers every deadline of theirs. */
  readonly deadline: number | undefined
  readonly queue: "sweep" | "leave"
  /** How often `onProgress` is called (ms). */
  readonly interval: number
  readonly onProgress: (closes: ReadonlyArray<DrainProgress>) => void
  readonly onReport: (report: DrainReport) => void
  /** A close cannot fail; one that dies all the same holds up no other. */
  readonly onFailure: (member: ListenerRegistry.Member, cause: Cause.Cause<unknown>) => void
}

/**
 * Closes every member of the registry at once, those that join meanwhile
 * included, and completes when all are closed. Never fails.
 */
export const closeMembers = (registry: WatchedRegistry, options: CloseMembersOptions): Effect.Effect<void> =>
  Effect.scoped(Effect.gen(function*() {
    const { deadline, interval, queue, reason } = options
    const clock = yield* Clock.Clock
    const now = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    const began = now()
    const closes = yield* FiberSet.make<void, never>()
    const closing = new Set<ListenerRegistry.Member>()

    const shutdown = (member: ListenerRegistry.Member): Effect.Effect<ReadonlyArray<DrainReport>> => {
      if (deadline === undefined) return member.shutdown({ reason, queue })
      // a lame duck runs before the member's deadline does, so it is lowered again when the time is over
      const left = Math.ceil(Math.max(0, began + deadline - now()))
      return Effect.raceFirst(
        member.shutdown({ reason, queue, deadline: left }),
        Effect.delay(member.shutdown({ reason, queue, deadline: 0 }), left)
      )
    }
    const run = yield* FiberSet.runtime(closes)()
    const close = (member: ListenerRegistry.Member): void => {
      closing.add(member)
      run(
        Effect.suspend(() => shutdown(member)).pipe(
          Effect.map((reports) => reports.forEach(options.onReport)),
          Effect.catchCause((cause) => Effect.sync(() => options.onFailure(member, cause)))
        )
      )
    }
    registry.onJoin(close)
    for (const member of registry.members()) close(member)

    // a stream of progress begins with where the close stands now: asked anew each time, its times are right
    const current = (member: ListenerRegistry.Member): Effect.Effect<Option.Option<DrainProgress>> =>
      Effect.suspend(() => Stream.runHead(member.progress)).pipe(
        Effect.timeoutOption(interval),
        Effect.map(Option.flatten),
        // what cannot be said holds up nothing
        Effect.catchCause(() => Effect.succeedNone)
      )
    const show = Effect.gen(function*() {
      yield* Effect.sleep(interval)
      const progress = yield* Effect.forEach(closing, current, { concurrency: "unbounded" })
      options.onProgress(Array.getSomes(progress))
    })
    yield* Effect.forkScoped(Effect.forever(show))

    yield* FiberSet.awaitEmpty(closes)
  }))

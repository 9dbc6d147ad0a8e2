import type { DrainProgress } from "@effect-listener/core/Drain"
import type { DrainReport } from "@effect-listener/core/DrainReport"
import * as ListenerRegistry from "@effect-listener/core/ListenerRegistry"
import * as Array from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ProgressLine from "./progressLine.ts"

/** A registry that can tell of members who join later. */
export interface WatchedRegistry extends ListenerRegistry.ListenerRegistry {
  readonly onJoin: (handle: (member: ListenerRegistry.Member) => void) => void
}

export const watchedRegistry = (): WatchedRegistry => {
  const registry = ListenerRegistry.make()
  let joined: ((member: ListenerRegistry.Member) => void) | undefined
  return {
    members: registry.members,
    add: (member) => {
      const remove = registry.add(member)
      joined?.(member)
      return remove
    },
    onJoin: (handle) => {
      joined = handle
    }
  }
}

/**
 * Closes every member of the registry at once, those who join meanwhile
 * included, and completes when all are closed. `deadline` (ms from now) lowers
 * every deadline of theirs.
 */
export const closeMembers = (registry: WatchedRegistry, options: {
  readonly reason: string
  readonly deadline: number | undefined
  readonly display: ProgressLine.Display
  readonly onReport: (report: DrainReport) => void
}): Effect.Effect<void> =>
  Effect.scoped(Effect.gen(function*() {
    const { deadline, display, reason } = options
    const clock = yield* Clock.Clock
    const now = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    const began = now()
    const closes = yield* FiberSet.make<void, never>()
    const closing = new Set<ListenerRegistry.Member>()

    const shutdown = (member: ListenerRegistry.Member): Effect.Effect<ReadonlyArray<DrainReport>> => {
      if (deadline === undefined) return member.shutdown({ reason })
      // a lame duck runs before the member's deadline does, so it is lowered again when the time is over
      const left = Math.ceil(Math.max(0, began + deadline - now()))
      return Effect.raceFirst(
        member.shutdown({ reason, deadline: left }),
        Effect.delay(member.shutdown({ reason, deadline: 0 }), left)
      )
    }
    const run = yield* FiberSet.runtime(closes)()
    const close = (member: ListenerRegistry.Member): void => {
      closing.add(member)
      run(Effect.map(shutdown(member), (reports) => reports.forEach(options.onReport)))
    }
    registry.onJoin(close)
    for (const member of registry.members()) close(member)

    // a stream of progress begins with where the close stands now: asked anew each time, its times are right
    const current = (member: ListenerRegistry.Member): Effect.Effect<Option.Option<DrainProgress>> =>
      Effect.map(Effect.timeoutOption(Stream.runHead(member.progress), display.interval), Option.flatten)
    yield* Effect.forkScoped(Effect.forever(Effect.gen(function*() {
      yield* Effect.sleep(display.interval)
      const progress = yield* Effect.forEach(closing, current, { concurrency: "unbounded" })
      const line = ProgressLine.format(Array.getSomes(progress))
      if (line !== undefined) display.show(line)
    })))

    // a close cannot fail; should one die, that is told rather than waited out
    yield* Effect.raceFirst(FiberSet.awaitEmpty(closes), FiberSet.join(closes))
  })).pipe(Effect.ensuring(Effect.sync(options.display.clear)))

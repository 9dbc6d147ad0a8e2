import * as Effect from "effect/Effect"

/**
 * Whole turns of the event loop, shared by everybody who waits for one.
 *
 * A turn runs due timers, then reads, then runs immediates. Called from a timer
 * the first immediate comes after a whole read phase; called while reading, the
 * sockets of that phase were chosen before the call, and only the second
 * immediate comes after a whole one. So two immediates, whoever calls; and who
 * comes before the first of them has fired can share both.
 */
export class ReadTurns {
  private waiting: Set<() => void> | undefined

  /** Completes when one whole read phase has passed since the call. */
  readonly whole: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const group = this.waiting ?? this.begin()
    const done = () => resume(Effect.void)
    group.add(done)
    return Effect.sync(() => {
      group.delete(done)
    })
  })

  private begin(): Set<() => void> {
    const group = new Set<() => void>()
    this.waiting = group
    setImmediate(() => {
      this.waiting = undefined
      setImmediate(() => {
        // those resumed may interrupt others of the group: a Set skips what was deleted on the way
        for (const done of group) done()
      })
    })
    return group
  }
}

import * as Effect from "effect/Effect"

/** What tests wait for that changes by events: each waits for a condition, which is looked at again at every change. */
export class Changes {
  private readonly waiting = new Set<() => void>()

  readonly notify = (): void => {
    for (const look of Array.from(this.waiting)) look()
  }

  /** Waits until there is something to see. */
  until<A, E>(look: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E> {
    return Effect.callback((resume) => {
      const attempt = () => {
        const result = look()
        if (result === undefined) return
        this.waiting.delete(attempt)
        resume(result)
      }
      this.waiting.add(attempt)
      attempt()
      return Effect.sync(() => this.waiting.delete(attempt))
    })
  }
}

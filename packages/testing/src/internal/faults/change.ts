import * as Effect from "effect/Effect"

/** Fibers that wait until something has changed, to look again. */
export class Change {
  private readonly waiting = new Set<() => void>()
  readonly wait: Effect.Effect<void> = Effect.callback((resume) => {
    const go = () => resume(Effect.void)
    this.waiting.add(go)
    return Effect.sync(() => {
      this.waiting.delete(go)
    })
  })
  wake(): void {
    const waiting = Array.from(this.waiting)
    this.waiting.clear()
    for (const go of waiting) go()
  }
}

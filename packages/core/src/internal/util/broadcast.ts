import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

/** Values published to subscribers, each with a buffer of its own. */
export class Broadcast<A> {
  private readonly subscribers = new Set<Queue.Queue<A, Cause.Done>>()
  private ended = false

  publish(value: A): void {
    for (const queue of Array.from(this.subscribers)) Queue.offerUnsafe(queue, value)
  }

  /** Ends the streams there are, and those to come after their first values. */
  end(): void {
    this.ended = true
    this.endCurrent()
  }

  /** Ends the streams there are; later ones go on. */
  endCurrent(): void {
    const queues = Array.from(this.subscribers)
    this.subscribers.clear()
    for (const queue of queues) Queue.endUnsafe(queue)
  }

  /** The values of `first`, then what is published. `first` says whether that is all. */
  stream(first: () => { readonly values: ReadonlyArray<A>; readonly complete: boolean }): Stream.Stream<A> {
    return Stream.unwrap(Effect.map(
      Effect.acquireRelease(
        Effect.flatMap(Queue.unbounded<A, Cause.Done>(), (queue) =>
          Effect.sync(() => {
            const { complete, values } = first()
            for (const value of values) Queue.offerUnsafe(queue, value)
            if (complete || this.ended) Queue.endUnsafe(queue)
            else this.subscribers.add(queue)
            return queue
          })),
        (queue) =>
          Effect.sync(() => {
            this.subscribers.delete(queue)
          })
      ),
      Stream.fromQueue
    ))
  }
}

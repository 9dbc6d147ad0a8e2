/**
 * One direction of the way between two endpoints: what is sent arrives in
 * order, at once or after the latency.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"

export class Wire {
  readonly latency: Duration.Duration
  readonly #context: Context.Context<never>
  readonly #onTheWay: Array<() => void> = []

  constructor(latency: Duration.Duration, context: Context.Context<never>) {
    this.latency = latency
    // The clock and the scheduler of the test, nothing else of the fiber that connected
    this.#context = Context.empty().pipe(
      Context.add(Clock.Clock, Context.get(context, Clock.Clock)),
      Context.add(Scheduler.Scheduler, Context.get(context, Scheduler.Scheduler))
    )
  }

  send(arrive: () => void): void {
    if (Duration.isZero(this.latency)) return arrive()
    this.#onTheWay.push(arrive)
    // All take equally long, so each timer lets the first that is left arrive
    Effect.runForkWith(this.#context)(
      Effect.andThen(Effect.sleep(this.latency), Effect.sync(() => this.#onTheWay.shift()?.()))
    )
  }
}

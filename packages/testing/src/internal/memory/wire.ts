/**
 * One direction of the way between two endpoints: what is sent arrives in
 * order, at once or after the latency.
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

export class Wire {
  private readonly latency: Duration.Duration
  private readonly context: Context.Context<never>
  private readonly onTheWay: Array<() => void> = []

  /** `context` brings the clock and the scheduler of the test. */
  constructor(latency: Duration.Duration, context: Context.Context<never>) {
    this.latency = latency
    this.context = context
  }

  send(arrive: () => void): void {
    if (Duration.isZero(this.latency)) return arrive()
    this.onTheWay.push(arrive)
    // all take equally long, so each timer lets the first that is left arrive
    Effect.runForkWith(this.context)(
      Effect.andThen(Effect.sleep(this.latency), Effect.sync(() => this.onTheWay.shift()?.()))
    )
  }
}

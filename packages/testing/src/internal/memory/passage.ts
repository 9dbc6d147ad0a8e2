import * as Effect from "effect/Effect"
import type { Fate, Passing } from "../../MemoryDatagrams.ts"

/** The network between clients and a server: what it does to datagrams is the test's to say. */
export class Passage {
  fate: (passing: Passing) => Fate
  private readonly runFork: (effect: Effect.Effect<void>) => unknown
  private readonly numbers = { toServer: 0, toClient: 0 }
  /** Those that others overtake, and by how many more. */
  private behind: Array<{ readonly direction: Passing["direction"]; left: number; readonly arrive: () => void }> = []

  constructor(runFork: (effect: Effect.Effect<void>) => unknown, fate: (passing: Passing) => Fate) {
    this.runFork = runFork
    this.fate = fate
  }

  pass(direction: Passing["direction"], payload: Uint8Array, arrive: () => void): void {
    const { behind = 0, copies = 1, delay } = this.fate({ direction, number: this.numbers[direction]++, payload })
    const all = () => {
      for (let i = 0; i < copies; i++) arrive()
    }
    if (behind > 0) this.behind.push({ direction, left: behind + 1, arrive: all })
    else if (delay === undefined) all()
    else this.runFork(Effect.delay(Effect.sync(all), delay))
    this.overtaken(direction)
  }

  /** One more has passed those that wait behind it. */
  private overtaken(direction: Passing["direction"]): void {
    const due = this.behind.filter((one) => one.direction === direction && --one.left === 0)
    this.behind = this.behind.filter((one) => one.left > 0)
    for (const one of due) one.arrive()
  }
}

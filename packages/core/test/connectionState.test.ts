import { assert, describe, it } from "@effect/vitest"
import { isIdle, type Step, type StepEvent, takeStep } from "../src/internal/connection/connectionState.ts"
import {
  awaitsLook,
  climb,
  type DrainEvent,
  drainHasBegun,
  look,
  type Rung
} from "../src/internal/connection/draining/drainLadder.ts"

const stepEvents = ["handshakeBegan", "shaken", "served", "refused", "released", "detached", "cut", "ended"] as const

// written by hand from what the steps mean: "next, action" in the order of the events above; "-" stays and does nothing
const steps: Record<Step, ReadonlyArray<string>> = {
  Queued: [
    "Handshake",
    "-",
    "Serving, Serve",
    "Refusing, Refuse",
    "Goodbye, Goodbye",
    "Detached, Detach",
    "Ended, Destroy",
    "Ended, Count"
  ],
  Handshake: [
    "-",
    "Queued",
    "Serving, ServeShaken",
    "Refusing, Refuse",
    "Goodbye, Goodbye",
    "Detached, Detach",
    "Ended, Destroy",
    "Ended, Count"
  ],
  Serving: ["-", "-", "-", "-", "Goodbye, Goodbye", "Detached, Detach", "Ended, Destroy", "Ended, Count"],
  Refusing: ["-", "-", "-", "-", "Goodbye, Goodbye", "Detached, DetachRefused", "Ended, Destroy", "Ended, Count"],
  Goodbye: ["-", "-", "-", "-", "-", "-", "Ended, Destroy", "Ended, Count"],
  Detached: ["-", "-", "-", "-", "-", "-", "-", "-"],
  Ended: ["-", "-", "-", "-", "Ended, Destroy", "-", "-", "-"]
}

const drainEvents = [
  "drainNotified",
  "drainBegun",
  "busy",
  "inGrace",
  "awaitsInGrace",
  "idle",
  "quiet",
  "graceOver",
  "turnOver",
  "turnEmptied",
  "goodbye"
] as const

const rungs: Record<Rung, ReadonlyArray<string>> = {
  Untold: ["Notified, Notify", "Begun, Begin", "-", "-", "-", "-", "-", "-", "-", "-", "-"],
  Notified: ["-", "Begun, Begin", "-", "-", "-", "-", "-", "-", "-", "-", "-"],
  Begun: [
    "-",
    "Begun, Look",
    "-",
    "Grace, AwaitGrace",
    // it is caught up first, so that it can be ended by its next answer
    "Turn, AwaitTurn",
    "Turn, AwaitTurn",
    "Begun, SayGoodbye",
    "-",
    "-",
    "-",
    "Goodbye"
  ],
  Grace: [
    "-",
    "-",
    "-",
    "-",
    "Turn, AwaitTurn",
    "Turn, AwaitTurn",
    "Begun, SayGoodbye",
    "Begun, Look",
    "-",
    "-",
    "Goodbye"
  ],
  Turn: ["-", "-", "-", "-", "-", "-", "-", "-", "Begun, Look", "CaughtUp, FixEntitlement", "Goodbye"],
  CaughtUp: [
    "-",
    "CaughtUp, Look",
    "-",
    "CaughtUpGrace, AwaitGrace",
    "CaughtUpGrace, AwaitGrace",
    "CaughtUp, SayGoodbye",
    "CaughtUp, SayGoodbye",
    "-",
    "-",
    "-",
    "Goodbye"
  ],
  // idle before its grace is over: it has answered
  CaughtUpGrace: [
    "-",
    "-",
    "-",
    "-",
    "-",
    "CaughtUp, SayGoodbye",
    "CaughtUp, SayGoodbye",
    "CaughtUp, Look",
    "-",
    "-",
    "Goodbye"
  ],
  Goodbye: ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"]
}

const said = (from: string, { action, next }: { readonly next: string; readonly action: string }): string =>
  action !== "None" ? `${next}, ${action}` : next === from ? "-" : next

// Object.keys widens the keys of what is given
const keys = <K extends string>(of: Record<K, unknown>): ReadonlyArray<K> => Object.keys(of) as Array<K>

describe("the steps of a connection", () => {
  for (const step of keys(steps)) {
    stepEvents.forEach((event, i) => {
      it(`${step}, ${event}: ${steps[step][i]}`, () => {
        assert.strictEqual(said(step, takeStep(step, event)), steps[step][i])
      })
    })
  }

  it("whatever happens, a connection ends or detaches at most once, and is destroyed only once it has ended", () => {
    for (let seed = 1; seed <= 3000; seed++) {
      const random = randomOf(seed)
      let step: Step = "Queued"
      let over = 0
      for (let i = 0; i < 20; i++) {
        const event: StepEvent = stepEvents[random(stepEvents.length)]!
        const { action, next } = takeStep(step, event)
        const ends = (next === "Ended" || next === "Detached") && next !== step
        if (ends) over++
        if (action === "Destroy") assert.strictEqual(next, "Ended")
        if (action === "Count" || action === "Detach" || action === "DetachRefused") assert.isTrue(ends)
        // no way leads back but from a handshake that is done before anything takes the connection
        if (rank[next] < rank[step]) assert.deepStrictEqual([step, event], ["Handshake", "shaken"])
        step = next
      }
      assert.isAtMost(over, 1)
    }
  })
})

const rank: Record<Step, number> = {
  Queued: 0,
  Handshake: 1,
  Serving: 2,
  Refusing: 2,
  Goodbye: 3,
  Detached: 4,
  Ended: 4
}

describe("the drain of a connection", () => {
  for (const rung of keys(rungs)) {
    drainEvents.forEach((event, i) => {
      it(`${rung}, ${event}: ${rungs[rung][i]}`, () => {
        assert.strictEqual(said(rung, climb(rung, event)), rungs[rung][i])
      })
    })
  }

  it("whatever happens, it is told once, begun once, and says nothing after its goodbye", () => {
    for (let seed = 1; seed <= 3000; seed++) {
      const random = randomOf(seed)
      let rung: Rung = "Untold"
      const times = { Notify: 0, Begin: 0 }
      for (let i = 0; i < 40; i++) {
        const event: DrainEvent = drainEvents[random(drainEvents.length)]!
        const { action, next } = climb(rung, event)
        if (action === "Notify" || action === "Begin") times[action]++
        if (rung === "Goodbye") assert.deepStrictEqual([action, next], ["None", "Goodbye"])
        if (drainHasBegun(rung)) assert.isTrue(drainHasBegun(next))
        // what waits for a turn is looked at when it is over, and not before
        if (action === "Look" || action === "SayGoodbye" || action === "AwaitGrace") assert.isTrue(awaitsLook(next))
        if (action === "AwaitTurn") assert.isFalse(awaitsLook(next))
        rung = next
      }
      assert.isAtMost(times.Notify, 1)
      assert.isAtMost(times.Begin, 1)
    }
  })

  it("from any rung that has begun, times that come and idle looks lead to a goodbye", () => {
    for (const first of keys(rungs).filter(drainHasBegun)) {
      let rung = first
      let goodbye = rung === "Goodbye"
      for (const event of ["graceOver", "turnOver", "idle", "turnEmptied", "idle"] as const) {
        const { action, next } = climb(rung, event)
        goodbye ||= action === "SayGoodbye"
        rung = next
      }
      assert.isTrue(goodbye, first)
    }
  })
})

describe("a look at a connection", () => {
  it("is busy, in its grace, quiet or idle", () => {
    const view = { idle: true, quietTurn: false, oneAtATime: false, answered: false, now: 10, graceEnds: 10 }
    const inGrace = { ...view, graceEnds: 10.1 }
    assert.strictEqual(look({ ...inGrace, idle: false, quietTurn: true, oneAtATime: true, answered: true }), "busy")
    assert.strictEqual(look({ ...inGrace, quietTurn: true }), "inGrace")
    assert.strictEqual(look({ ...inGrace, quietTurn: true, oneAtATime: true }), "awaitsInGrace")
    assert.strictEqual(look({ ...inGrace, oneAtATime: true, answered: true }), "idle")
    assert.strictEqual(look({ ...inGrace, oneAtATime: true, answered: true, quietTurn: true }), "quiet")
    assert.strictEqual(look(view), "idle")
    assert.strictEqual(look({ ...view, quietTurn: true }), "quiet")
  })

  it("idle is for the mode to say", () => {
    for (const pulling of [false, true]) {
      assert.isFalse(isIdle("handler", 0, pulling))
      assert.strictEqual(isIdle("pull", 0, pulling), pulling)
      assert.isTrue(isIdle("exchange", 0, pulling))
      for (const mode of ["handler", "pull", "exchange"] as const) assert.isFalse(isIdle(mode, 1, pulling))
    }
  })
})

/** A generator of whole numbers below a bound, the same for the same seed. */
const randomOf = (seed: number) => {
  let state = seed
  return (bound: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state % bound
  }
}

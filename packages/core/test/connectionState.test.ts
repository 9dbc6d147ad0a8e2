import { assert, describe, it } from "@effect/vitest"
import {
  beginsPhase,
  type ConnectionState,
  initial,
  isIdle,
  isRefused,
  stateOf,
  type Step,
  type Transition,
  transition
} from "../src/internal/connection/connectionState.ts"
import { awaitsLook, drainHasBegun, look, type Rung } from "../src/internal/connection/draining/drainLadder.ts"

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
  Refusing: [
    "-",
    "-",
    "-",
    "-",
    "RefusedGoodbye, Goodbye",
    "Detached, DetachRefused",
    "Ended, Destroy",
    "Ended, Forget"
  ],
  Goodbye: ["-", "-", "-", "-", "-", "-", "Ended, Destroy", "Ended, Count"],
  RefusedGoodbye: ["-", "-", "-", "-", "-", "-", "Ended, Destroy", "Ended, Forget"],
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

const said = (from: string, next: string, action: string): string =>
  action !== "None" ? `${next}, ${action}` : next === from ? "-" : next

// Object.keys widens the keys of what is given
const keys = <K extends string>(of: Record<K, unknown>): ReadonlyArray<K> => Object.keys(of) as Array<K>

describe("the state of a connection", () => {
  for (const step of keys(steps)) {
    stepEvents.forEach((event, i) => {
      it(`${step}, ${event}: ${steps[step][i]}, however far the drain has come`, () => {
        for (const rung of keys(rungs)) {
          const { action, next } = transition(stateOf(step, rung), event)
          assert.deepStrictEqual([said(step, next.step, action), next.rung], [steps[step][i], rung])
        }
      })
    })
  }

  for (const rung of keys(rungs)) {
    drainEvents.forEach((event, i) => {
      it(`${rung}, ${event}: ${rungs[rung][i]}, unless it has ended or is detached`, () => {
        for (const step of keys(steps)) {
          const { action, next } = transition(stateOf(step, rung), event)
          const expected = step === "Ended" || step === "Detached" ? "-" : rungs[rung][i]
          assert.deepStrictEqual([said(rung, next.rung, action), next.step], [expected, step])
        }
      })
    })
  }

  type Visit = (from: ConnectionState, to: ConnectionState, action: Transition["action"]) => void

  const walk = (seed: number, length: number, visit: Visit) => {
    const random = randomOf(seed)
    const events = [...stepEvents, ...drainEvents]
    let state = initial
    for (let i = 0; i < length; i++) {
      const { action, next } = transition(state, events[random(events.length)]!)
      visit(state, next, action)
      state = next
    }
  }

  it("whatever happens, a connection ends or detaches at most once, and is destroyed only once it has ended", () => {
    for (let seed = 1; seed <= 3000; seed++) {
      let over = 0
      let accounted = 0
      walk(seed, 30, (from, to, action) => {
        const ends = (to.step === "Ended" || to.step === "Detached") && to.step !== from.step
        if (ends) over++
        if (action === "Destroy") assert.strictEqual(to.step, "Ended")
        if (["Count", "Forget", "Detach", "DetachRefused"].includes(action)) {
          accounted++
          assert.isTrue(ends)
        }
        if (action === "Forget" || action === "DetachRefused") assert.isTrue(isRefused(from))
        if (action === "Count" || action === "Detach") assert.isFalse(isRefused(from))
        // no way leads back but from a handshake that is done before anything takes the connection
        if (rank[to.step] < rank[from.step]) assert.deepStrictEqual([from.step, to.step], ["Handshake", "Queued"])
      })
      assert.isAtMost(over, 1)
      assert.isAtMost(accounted, over)
    }
  })

  it("whatever happens, it is told once, begun once, and says nothing after its goodbye", () => {
    for (let seed = 1; seed <= 3000; seed++) {
      const times = { Notify: 0, Begin: 0 }
      walk(seed, 60, (from, to, action) => {
        if (action === "Notify" || action === "Begin") times[action]++
        if (from.rung === "Goodbye") assert.strictEqual(to.rung, "Goodbye")
        if (from.rung === "Goodbye") assert.notStrictEqual(action, "SayGoodbye")
        if (drainHasBegun(from.rung)) assert.isTrue(drainHasBegun(to.rung))
        // what waits for a turn is looked at when it is over, and not before
        if (["Look", "SayGoodbye", "AwaitGrace"].includes(action)) assert.isTrue(awaitsLook(to.rung))
        if (action === "AwaitTurn") assert.isFalse(awaitsLook(to.rung))
      })
      assert.isAtMost(times.Notify, 1)
      assert.isAtMost(times.Begin, 1)
    }
  })

  it("a phase begins with the last word, with the end after it, and when it is detached: each once", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const phases: Array<string> = []
      walk(seed, 60, (from, to) => {
        const step = to.step !== from.step && ["Goodbye", "RefusedGoodbye", "Detached"].includes(to.step)
        const rung = to.rung !== from.rung && to.rung === "Goodbye"
        assert.strictEqual(beginsPhase(from, to), step || rung)
        if (beginsPhase(from, to)) phases.push(step ? to.step : "the last word")
      })
      assert.strictEqual(new Set(phases).size, phases.length)
    }
  })

  it("from any rung that has begun, times that come and idle looks lead to a goodbye", () => {
    for (const first of keys(rungs).filter(drainHasBegun)) {
      let state = stateOf("Serving", first)
      let goodbye = first === "Goodbye"
      for (const event of ["graceOver", "turnOver", "idle", "turnEmptied", "idle"] as const) {
        const { action, next } = transition(state, event)
        goodbye ||= action === "SayGoodbye"
        state = next
      }
      assert.isTrue(goodbye, first)
    }
  })
})

const rank: Record<Step, number> = {
  Queued: 0,
  Handshake: 1,
  Serving: 2,
  Refusing: 2,
  Goodbye: 3,
  RefusedGoodbye: 3,
  Detached: 4,
  Ended: 4
}

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

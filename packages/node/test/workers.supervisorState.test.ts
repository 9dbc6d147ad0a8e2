import { assert, describe, it } from "@effect/vitest"
import { type Action, type Event, initial, type State, step } from "../src/internal/workers/supervisorState.ts"

const how = { pid: undefined, reason: "Exited", detail: "gone" } as const

/** One word an event: `p0` worker 0 is prepared, `a0` accepts, `l0` leaves, `x0` exits, `d0` slot 0's restart is due. */
const eventOf = (word: string, at: number): Event => {
  const number = Number(word.slice(1))
  switch (word[0]) {
    case "p":
      return { _tag: "Prepared", id: number }
    case "a":
      return { _tag: "Accepting", id: number, at }
    case "l":
      return { _tag: "Leaving", id: number, at, how }
    case "x":
      return { _tag: "Exited", id: number, at, how }
    case "d":
      return { _tag: "RestartDue", slot: number }
    case "g":
      return { _tag: "ScheduleEnded", slot: number }
    case "s":
      return { _tag: "Scale", size: number }
  }
  return { _tag: word as "Start" | "Replace" | "Close" }
}

const wordOf = (action: Action): string => {
  switch (action._tag) {
    case "Spawn":
      return `spawn ${action.id} in ${action.slot} of ${action.generation}`
    case "Go":
    case "Kill":
      return `${action._tag.toLowerCase()} ${action.id}`
    case "Stop":
      return `${action.queue} ${action.id}`
    case "BackOff":
      return `back off ${action.slot}${action.fresh ? " anew" : ""}`
    case "CancelBackOff":
      return `cancel ${action.slot}`
    case "ReleaseSockets":
      return "release"
    case "Tell":
      return `tell ${action.event._tag}`
    case "Opened":
      return "opened"
    case "ReplaceEnded":
    case "ScaleEnded":
    case "Closed": {
      const { failure } = action
      const how = failure === undefined
        ? ""
        : failure === "Closing"
        ? " Closing"
        : `: ${failure.worker} ${failure.detail}`
      return `${action._tag}${how}`
    }
  }
}

/** The state after events that are a millisecond apart, and what the last of them asks for. */
const after = (size: number, words: string, concurrency = 1): { state: State; actions: ReadonlyArray<string> } => {
  let state = initial(size, concurrency)
  let actions: ReadonlyArray<string> = []
  let at = 0
  for (const word of words.split(" ")) {
    if (word === "wait") {
      at += 10_000
      continue
    }
    const next = step(state, eventOf(word, ++at))
    state = next.state
    actions = next.actions.map(wordOf)
  }
  return { state, actions }
}

const one = "Start p0 a0"
const two = "Start p0 p1 a0 a1"

describe("what a supervisor decides", () => {
  it.each<[string, number, string, ReadonlyArray<string>]>([
    // opening
    ["a start starts all", 2, "Start", ["spawn 0 in 0 of 0", "spawn 1 in 1 of 0"]],
    ["a second start changes nothing", 1, "Start Start", []],
    ["one that is prepared waits for the others", 2, "Start p0", []],
    ["all listen when all are prepared", 2, "Start p1 p0", ["go 0", "go 1"]],
    ["the first that accepts is not all", 2, "Start p0 p1 a1", ["tell Accepting"]],
    ["it is open when all accept", 2, two, ["tell Accepting", "opened"]],
    ["a first start that fails ends all: those not listening are killed", 2, "Start p0 x1", ["release", "kill 0"]],
    ["… and it is over when they have ended", 2, "Start p0 x1 x0", ["Closed: 1 gone"]],
    ["… those that listen sweep", 2, "Start p0 p1 a0 x1", ["release", "sweep 0"]],
    ["a worker that crashes before it is open ends all, too", 2, "Start p0 p1 a0 x0", ["release", "sweep 1"]],
    ["one that closes by itself before it is open, too", 2, "Start p0 p1 a0 l0", ["release", "sweep 1"]],
    ["a replacement while it opens is refused", 1, "Start Replace", ["ReplaceEnded Closing"]],
    ["scaling while it opens is refused", 1, "Start s2", ["ScaleEnded Closing"]],
    ["a close while it opens kills what has not listened", 2, "Start p0 Close", ["release", "kill 0", "kill 1"]],
    // what no order of things allows
    ["one that accepts without being told to is not believed", 1, "Start a0", []],
    ["one that is prepared twice is told once", 1, "Start p0 p0", []],
    ["one that accepts twice is told of once", 1, `${one} a0`, []],
    ["an unknown worker is ignored", 1, `${one} p7 a7 l7 x7 d7 g7`, []],
    // crashes
    ["a crash backs off", 2, `${two} x1`, ["tell Crashed", "back off 1"]],
    ["after ten seconds anew", 1, `${one} wait x0`, ["tell Crashed", "back off 0 anew"]],
    ["its successor starts when that is over", 2, `${two} x1 d1`, ["spawn 2 in 1 of 0"]],
    ["a back-off that is over twice starts one", 2, `${two} x1 d1 d1`, []],
    ["a restart listens as soon as it is prepared", 2, `${two} x1 d1 p2`, ["go 2"]],
    ["a restart that fails backs off again", 2, `${two} x1 d1 x2`, ["tell Crashed", "back off 1"]],
    ["one that closes by itself is followed by another, and drains", 2, `${two} l0`, ["tell Crashed", "back off 0"]],
    ["… and its end is no second crash", 2, `${two} l0 x0`, []],
    ["one that leaves before it listens is judged by its end", 1, `${one} x0 d0 l1`, []],
    ["a schedule that ends gives the slot up", 2, `${two} x1 g1`, ["tell GaveUp"]],
    ["the last slot given up is the end", 1, `${one} x0 g0`, [
      "tell GaveUp",
      "release",
      "Closed: -1 the schedule of restarts has ended in every slot"
    ]],
    ["a slot given up is tried again by a replacement", 2, `${two} x1 g1 Replace`, [
      "spawn 2 in 1 of 1"
    ]],
    // replacing
    ["a replacement starts one more, for the oldest", 2, `${two} Replace`, ["spawn 2 in 0 of 1"]],
    ["a second request joins", 2, `${two} Replace Replace`, []],
    ["the successor listens", 2, `${two} Replace p2`, ["go 2"]],
    ["the old one goes when it accepts", 2, `${two} Replace p2 a2`, ["tell Accepting", "leave 0"]],
    ["one that leaves as it was asked is no crash", 2, `${two} Replace p2 a2 l0`, []],
    ["the next one only when the old one has ended", 2, `${two} Replace p2 a2 x0`, [
      "tell Replaced",
      "spawn 3 in 1 of 1"
    ]],
    ["all replaced", 2, `${two} Replace p2 a2 x0 p3 a3 x1`, ["tell Replaced", "ReplaceEnded"]],
    ["a successor that fails ends it, and the old one stays", 2, `${two} Replace x2`, [
      "tell RolledBack",
      "ReplaceEnded: 2 gone"
    ]],
    ["a failure half-way leaves what was replaced", 2, `${two} Replace p2 a2 x0 x3`, [
      "tell RolledBack",
      "ReplaceEnded: 3 gone"
    ]],
    ["the next one begins with what was left", 2, `${two} Replace p2 a2 x0 x3 Replace`, ["spawn 4 in 1 of 2"]],
    ["… and replaces the others, too", 2, `${two} Replace p2 a2 x0 x3 Replace p4 a4 x1`, [
      "tell Replaced",
      "spawn 5 in 0 of 2"
    ]],
    ["the old one crashes meanwhile: its successor has the slot", 1, `${one} Replace x0`, ["tell Crashed"]],
    ["… and that is the end of it", 1, `${one} Replace x0 p1 a1`, ["tell Accepting", "ReplaceEnded"]],
    ["both crash", 1, `${one} Replace x0 x1`, ["tell Crashed", "back off 0", "ReplaceEnded: 1 gone"]],
    ["another one crashes meanwhile and counts as replaced when it is back", 2, `${two} Replace x1 d1`, [
      "spawn 3 in 1 of 1"
    ]],
    ["a slot that backs off is started at once", 2, `${two} x1 Replace`, [
      "cancel 1",
      "spawn 2 in 1 of 1"
    ]],
    ["a restart that has not listened is started anew", 2, `${two} x1 d1 Replace`, ["kill 2", "spawn 3 in 1 of 1"]],
    ["the successor of an old one that drains crashes", 1, `${one} Replace p1 a1 x1`, ["tell Crashed", "back off 0"]],
    ["a replacement after the close is refused", 1, `${one} Close Replace`, ["ReplaceEnded Closing"]],
    // scaling
    ["more", 1, `${one} s3`, ["spawn 1 in 1 of 0", "spawn 2 in 2 of 0"]],
    ["more, all there", 1, `${one} s2 p1 a1`, ["tell Accepting", "ScaleEnded"]],
    ["fewer", 2, `${two} s1`, ["leave 1"]],
    ["fewer, all gone", 2, `${two} s1 x1`, ["ScaleEnded"]],
    ["as many", 2, `${two} s2`, ["ScaleEnded"]],
    ["more, and one fails: back to what was", 1, `${one} s3 p1 x2`, [
      "tell RolledBack",
      "ScaleEnded: 2 gone",
      "leave 1"
    ]],
    ["fewer while one waits for its restart", 2, `${two} x1 s1`, ["cancel 1", "ScaleEnded"]],
    ["fewer while one loads", 1, `${one} s2 s1`, ["kill 1"]],
    ["more during a replacement are of the new generation", 1, `${one} Replace s2`, ["spawn 2 in 1 of 1"]],
    // closing
    ["a close lets go first, then all sweep", 2, `${two} Close`, ["release", "sweep 0", "sweep 1"]],
    ["a second close joins", 2, `${two} Close Close`, []],
    ["it is closed when all have ended", 2, `${two} Close x1 x0`, ["Closed"]],
    ["a close when all is closed", 1, `${one} Close x0 Close`, ["Closed"]],
    ["one that has not listened is gone before the others stop", 2, `${two} Replace Close`, [
      "release",
      "ReplaceEnded Closing",
      "kill 2"
    ]],
    ["one that may have listened sweeps, too", 1, `${one} Replace p1 Close`, [
      "release",
      "ReplaceEnded Closing",
      "sweep 0",
      "sweep 1"
    ]],
    ["nothing is started any more", 2, `${two} x1 Close d1`, []],
    ["a close ends a scaling", 1, `${one} s2 Close`, ["release", "ScaleEnded Closing", "kill 1"]],
    ["… and the others stop when it is gone", 1, `${one} s2 Close x1`, ["sweep 0"]]
  ])("%s", (_, size, words, expected) => {
    assert.deepStrictEqual(after(size, words).actions, expected)
  })

  it("replaces as many at a time as it may", () => {
    const three = "Start p0 p1 p2 a0 a1 a2"
    assert.deepStrictEqual(after(3, `${three} Replace`, 2).actions, ["spawn 3 in 0 of 1", "spawn 4 in 1 of 1"])
    assert.deepStrictEqual(after(3, `${three} Replace p3 a3`, 2).actions, ["tell Accepting", "leave 0"])
    assert.deepStrictEqual(after(3, `${three} Replace p3 a3 x0`, 2).actions, ["tell Replaced", "spawn 5 in 2 of 1"])
    // one that fails: what is under way is finished, and nothing more begins
    assert.deepStrictEqual(after(3, `${three} Replace x3`, 2).actions, ["tell RolledBack"])
    assert.deepStrictEqual(after(3, `${three} Replace x3 p4 a4 x1`, 2).actions, [
      "tell Replaced",
      "ReplaceEnded: 3 gone"
    ])
  })
})

// --- any order of things -----------------------------------------------------

/** Numbers that look random, from a seed. */
const random = (seed: number) => (bound: number): number => {
  seed = (seed * 1103515245 + 12345) % 2147483648
  return Math.floor((seed / 2147483648) * bound)
}

describe("in any order of events", () => {
  it("no worker is forgotten, no slot has two that stay, and a close ends all", () => {
    for (let seed = 1; seed <= 400; seed++) {
      const pick = random(seed)
      const size = 1 + pick(3)
      const concurrency = 1 + pick(2)
      let state = initial(size, concurrency)
      let at = 0
      let open = 0
      let replacing = 0
      let replaced = 0
      const perform = (word: string): void => {
        const next = step(state, eventOf(word, at += 1 + pick(3000)))
        state = next.state
        for (const action of next.actions) {
          if (action._tag === "Opened") open++
          if (action._tag === "ReplaceEnded") replaced++
          if (action._tag === "Spawn") assert.isFalse(state.stage === "Closing", `seed ${seed}`)
        }
        const { size, slots, stage, workers } = state
        assert.strictEqual(slots.length, size, `seed ${seed}`)
        const stay = workers.filter(({ phase }) => phase !== "Draining" && phase !== "Killed")
        if (stage === "Running") {
          for (let slot = 0; slot < size; slot++) {
            const here = stay.filter((worker) => worker.slot === slot)
            const waits = slots[slot]?.backOff !== "None"
            assert.isTrue(here.length > 0 || waits, `seed ${seed}: slot ${slot} is empty`)
            assert.isAtMost(here.length, 2, `seed ${seed}`)
            assert.isAtMost(here.filter(({ phase }) => phase === "Accepting").length, 1, `seed ${seed}`)
          }
        }
        if (stage === "Closed") assert.strictEqual(workers.length, 0)
      }
      perform("Start")
      for (let i = 0; i < 60; i++) {
        const worker = state.workers[pick(Math.max(1, state.workers.length))]?.id ?? 0
        const moves = ["p", "p", "a", "a", "l", "x", "x"].map((word) => `${word}${worker}`)
        const slot = pick(state.slots.length)
        const word = [...moves, `d${slot}`, `s${1 + pick(3)}`, "Replace"][pick(moves.length + 3)]!
        if (word === "Replace" && (state.replacement === undefined || state.stage !== "Running")) replacing++
        perform(word)
      }
      // whatever it was, everything that goes on as it should comes to rest: all accept, nothing is under way
      for (let i = 0; i < 200 && state.stage !== "Closed"; i++) {
        const { slots, workers } = state
        const waiting = slots.findIndex(({ backOff }) => backOff === "Waiting")
        const next = workers.find(({ phase }) => phase !== "Accepting")
        if (waiting >= 0) perform(`d${waiting}`)
        else if (next === undefined) break
        else {perform(
            `${
              { Loading: "p", Prepared: "p", Listening: "a", Accepting: "", Draining: "x", Killed: "x" }[next.phase]
            }${next.id}`
          )}
      }
      if (state.stage === "Running") {
        assert.strictEqual(open, 1)
        assert.isUndefined(state.replacement, `seed ${seed}`)
        assert.isUndefined(state.scalingFrom, `seed ${seed}`)
        assert.strictEqual(state.workers.length, state.size, `seed ${seed}`)
      }
      assert.strictEqual(replaced, replacing, `seed ${seed}: every replacement ends once`)
      perform("Close")
      for (let i = 0; i < 50 && state.stage !== "Closed"; i++) perform(`x${state.workers[0]?.id}`)
      assert.strictEqual(state.stage, "Closed", `seed ${seed}`)
    }
  })
})

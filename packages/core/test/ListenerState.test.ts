import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ListenerState from "../src/ListenerState.ts"

const states = ["Created", "Opening", "Open", "Faulted", "Closing", "Closed"] as const
const operations = ["open", "accept", "close", "abort", "reset"] as const
const happenings = ["opened", "openFailed", "drained", "fault"] as const
const events: ReadonlyArray<ListenerState.Event> = [...operations, ...happenings]

// written by hand from the table and the text under it in the design, never from the implementation:
// "next, action" of what is taken, else the refusal
const table: Record<ListenerState.ListenerState, Record<ListenerState.Event, string>> = {
  Created: {
    open: "Opening, Bind",
    accept: "InvalidOperation",
    close: "Closed, Finish",
    abort: "Created, None",
    reset: "Created, None",
    opened: "Created, ReleaseBind",
    openFailed: "Created, None",
    drained: "Created, None",
    fault: "Created, None"
  },
  Opening: {
    open: "InvalidOperation",
    accept: "InvalidOperation",
    close: "InvalidOperation",
    abort: "Created, CancelOpen",
    reset: "InvalidOperation",
    opened: "Open, Listen",
    openFailed: "Created, None",
    drained: "Opening, None",
    fault: "Created, FailOpen"
  },
  Open: {
    open: "InvalidOperation",
    accept: "Open, Wait",
    close: "Closing, Drain",
    abort: "Faulted, Cut",
    reset: "InvalidOperation",
    opened: "Open, ReleaseBind",
    openFailed: "Open, None",
    drained: "Open, None",
    fault: "Faulted, StopAccepting"
  },
  Faulted: {
    open: "InvalidOperation",
    accept: "ListenerFaulted",
    close: "Closing, Drain",
    abort: "Faulted, None",
    reset: "InvalidOperation",
    opened: "Faulted, ReleaseBind",
    openFailed: "Faulted, None",
    drained: "Faulted, None",
    fault: "Faulted, None"
  },
  Closing: {
    open: "InvalidOperation",
    accept: "InvalidOperation",
    close: "InvalidOperation",
    abort: "Closing, Escalate",
    reset: "InvalidOperation",
    opened: "Closing, ReleaseBind",
    openFailed: "Closing, None",
    drained: "Closed, Publish",
    fault: "Closing, None"
  },
  Closed: {
    open: "InvalidOperation",
    accept: "InvalidOperation",
    close: "Closed, LastReport",
    abort: "Closed, None",
    reset: "Created, Forget",
    opened: "Closed, ReleaseBind",
    openFailed: "Closed, None",
    drained: "Closed, None",
    fault: "Closed, None"
  }
}

const say = Result.match({
  onSuccess: ({ action, next }: ListenerState.Step) => `${next}, ${action}`,
  onFailure: (refusal: ListenerState.Refusal): string => refusal
})

describe("ListenerState", () => {
  describe("transition", () => {
    for (const state of states) {
      it.each(events)(`${state}: %s`, (event) => {
        assert.strictEqual(say(ListenerState.transition(state, event)), table[state][event])
      })
    }

    // what is due comes more often than the rest, or most walks would stay in Created and Opening
    const walk = Arbitrary.array(
      Arbitrary.schema(Schema.Literals(["open", "opened", "open", "opened", "close", "drained", "reset", ...events])),
      { maxLength: 60 }
    )

    it.prop("keeps what a listener owns, whatever comes in which order", { walk }, ({ walk }) => live(walk), {
      arbitrary: { runs: 500, size: 60 }
    })

    it.effect("random walks reach all 54 cells", () =>
      Effect.gen(function*() {
        const seen = new Set<string>()
        for (const events of yield* Arbitrary.sampleEffect(walk, { count: 500, size: 60, seed: 1 })) {
          live(events, (state, event) => seen.add(`${state} ${event}`))
        }
        assert.strictEqual(seen.size, 54)
      }))
  })

  it("knows six states", () => {
    const isState = Schema.is(ListenerState.ListenerState)
    assert.isTrue(states.every(isState))
    for (const other of ["created", "Aborted", "", null, 3]) assert.isFalse(isState(other))
  })
})

/**
 * What a listener would own, kept from the actions alone: one bind that is under
 * way, one socket that listens or has connections left, one drain. The states
 * must agree with it at every step.
 */
const live = (
  walk: ReadonlyArray<ListenerState.Event>,
  visit?: (state: ListenerState.ListenerState, event: ListenerState.Event) => void
): void => {
  let state: ListenerState.ListenerState = "Created"
  let binding = false
  let holding = false
  let draining = false

  for (const event of walk) {
    visit?.(state, event)
    const step = ListenerState.transition(state, event)
    const happened = happenings.some((happening) => happening === event)
    if (Result.isFailure(step)) {
      assert.isFalse(happened, `${event} was refused in ${state}`)
      assert.notStrictEqual(event, "abort", `abort was refused in ${state}`)
      assert.strictEqual(
        step.failure,
        event === "accept" && state === "Faulted" ? "ListenerFaulted" : "InvalidOperation"
      )
      continue
    }

    const { action, next } = step.success
    assert.include(states, next)
    const by = `${state} went to ${next} by ${event}`
    // what the caller asked for is what the caller gets
    if (event === "open") assert.strictEqual(next, "Opening", by)
    if (event === "accept") assert.isTrue(state === "Open" && next === "Open" && action === "Wait", by)
    if (event === "close") assert.include(["Closing", "Closed"], next, by)
    if (event === "abort" || event === "fault") assert.notInclude(["Opening", "Open"], next, by)
    if (event === "reset") assert.strictEqual(next, "Created", by)

    switch (action) {
      case "Bind":
        assert.isFalse(binding || holding || draining, "a bind began while something was left")
        binding = true
        break
      case "Listen":
        assert.isTrue(binding)
        binding = false
        holding = true
        break
      case "CancelOpen":
      case "FailOpen":
        assert.isTrue(binding)
        binding = false
        break
      case "ReleaseBind":
        assert.isFalse(binding, "the awaited bind was given back")
        break
      case "Drain":
        assert.isTrue(holding && !draining)
        draining = true
        break
      case "Escalate":
        assert.isTrue(draining)
        break
      case "Publish":
        assert.isTrue(draining)
        draining = false
        holding = false
        break
      case "Finish":
      case "LastReport":
      case "Forget":
        assert.isFalse(binding || holding || draining)
        break
      case "Wait":
      case "Cut":
      case "StopAccepting":
        assert.isTrue(holding && !draining)
        break
      case "None":
        break
    }
    // the one action-less event that ends something: a bind that failed has nothing to give back
    if (event === "openFailed") binding = false

    if (next !== state) {
      assert.include(moves[state], next, by)
      if (next === "Open") assert.strictEqual(event, "opened", by)
      if (next === "Faulted") assert.include(["Cut", "StopAccepting"], action, by)
      if (state === "Faulted") assert.strictEqual(event, "close", by)
      if (state === "Closing") assert.strictEqual(event, "drained", by)
      if (state === "Closed") assert.strictEqual(event, "reset", by)
    }

    state = next
    assert.strictEqual(binding, state === "Opening", "binds while Opening, and only then")
    assert.strictEqual(holding, state === "Open" || state === "Faulted" || state === "Closing")
    assert.strictEqual(draining, state === "Closing")
  }
}

// the arrows of the state diagram
const moves: Record<ListenerState.ListenerState, ReadonlyArray<ListenerState.ListenerState>> = {
  Created: ["Opening", "Closed"],
  Opening: ["Open", "Created"],
  Open: ["Closing", "Faulted"],
  Faulted: ["Closing"],
  Closing: ["Closed"],
  Closed: ["Created"]
}

import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import type { CloseOptions, DrainOptions, LingerInput } from "../src/Drain.ts"
import type * as DurationOption from "../src/DurationOption.ts"
import * as Drain from "../src/internal/options/drain.ts"

// what a program written without types, or with a number from its environment, may pass
const untyped = <A>(value: unknown): A => value as A // the cast is the point: the types forbid these

/** `parameter detail` of what is refused, else the value. */
const said = <A>(result: Result.Result<A, DurationOption.BadOption>): A | string =>
  Result.match(result, { onSuccess: (a) => a, onFailure: ({ detail, parameter }) => `${parameter} ${detail}` })

const resolve = (options: DrainOptions | undefined) => said(Drain.resolve(options, Drain.defaults))
const close = (options: CloseOptions) =>
  said(Drain.resolve(options, Drain.defaults, { infiniteDeadline: true, prefix: "" }))

const accepted = (options: CloseOptions): Drain.ResolvedDrain => {
  const resolved = resolve(options)
  return typeof resolved === "string" ? assert.fail(resolved) : resolved
}

const bad: ReadonlyArray<readonly [input: unknown, detail: string]> = [
  [-1, "is negative (-1)"],
  [-0.5, "is negative (-0.5)"],
  [-Infinity, "is negative (-Infinity)"],
  ["-5 seconds", `is negative ("-5 seconds")`],
  ["-Infinity", `is negative ("-Infinity")`],
  [-1n, "is negative (-1n)"],
  [[-1, 0], "is negative ([-1,0])"],
  [{ seconds: -1 }, `is negative ({"seconds":-1})`],
  [Duration.millis(-1), "is negative (-1 millis)"],
  [NaN, "is not a duration (NaN)"],
  [[NaN, 0], "is not a duration ([NaN,0])"],
  [{ seconds: NaN }, `is not a duration ({"seconds":NaN})`],
  [{ seconds: "5" }, `is not a duration ({"seconds":"5"})`],
  [{ second: 5 }, `is not a duration ({"second":5})`],
  [{}, "is not a duration ({})"],
  ["", `is not a duration ("")`],
  ["soon", `is not a duration ("soon")`],
  ["5", `is not a duration ("5")`],
  ["5 sec", `is not a duration ("5 sec")`],
  ["NaN seconds", `is not a duration ("NaN seconds")`],
  [[1], "is not a duration ([1])"],
  [null, "is not a duration (null)"],
  [true, "is not a duration (true)"],
  [Symbol("5 s"), "is not a duration (Symbol(5 s))"]
]

const infinite: ReadonlyArray<readonly [input: unknown, detail: string]> = [
  [Infinity, "is infinite (Infinity)"],
  ["Infinity", `is infinite ("Infinity")`],
  [[Infinity, 0], "is infinite ([Infinity,0])"],
  [{ seconds: Infinity }, `is infinite ({"seconds":Infinity})`],
  [Duration.infinity, "is infinite (Infinity)"]
]

const good: ReadonlyArray<readonly [input: Duration.Input, ms: number]> = [
  [250, 250],
  [0.5, 0.5],
  ["100 millis", 100],
  [100_000_000n, 100],
  [[0, 100_000_000], 100],
  [{ seconds: 0.1 }, 100],
  [{ milliseconds: 60, microseconds: 40_000 }, 100],
  [Duration.millis(100), 100]
]

const times: ReadonlyArray<readonly [name: string, options: (input: Duration.Input) => DrainOptions]> = [
  ["deadline", (deadline) => ({ deadline })],
  ["lameDuck", (lameDuck) => ({ lameDuck })],
  ["lameDuck.min", (min) => ({ lameDuck: { min, quiet: 0, max: "1 second" } })],
  ["lameDuck.quiet", (quiet) => ({ lameDuck: { min: 0, quiet, max: 0 } })],
  ["lameDuck.max", (max) => ({ lameDuck: { min: 0, quiet: 0, max } })],
  ["idleGrace", (idleGrace) => ({ idleGrace })],
  ["spread", (spread) => ({ spread })],
  ["abortGrace", (abortGrace) => ({ abortGrace })],
  ["linger.idle", (idle) => ({ linger: { idle } })],
  ["linger.total", (total) => ({ linger: { total } })]
]

describe("Drain options", () => {
  it("the defaults are as documented", () => {
    const defaults = {
      deadline: 20_000,
      lameDuck: { min: 0, quiet: 0, max: 0 },
      idleGrace: 250,
      spread: 0,
      abortGrace: 1000,
      queue: "sweep" as const,
      linger: { idle: 500, total: undefined, bytes: 67_108_864 },
      idleLingers: true
    }
    for (const nothing of [undefined, {}, { linger: {} }, { deadline: undefined, linger: { idle: undefined } }]) {
      assert.deepStrictEqual(resolve(nothing), defaults)
    }
  })

  describe.each(times)("%s", (name, options) => {
    it("what is negative or unreadable is named, as it was written", () => {
      for (const [input, detail] of bad) {
        assert.strictEqual(resolve(options(untyped(input))), `drain.${name} ${detail}`)
        assert.strictEqual(close(options(untyped(input))), `${name} ${detail}`)
      }
    })

    it("an endless time is refused", () => {
      for (const [input, detail] of infinite) {
        assert.strictEqual(resolve(options(untyped(input))), `drain.${name} ${detail}`)
        if (name !== "deadline") assert.strictEqual(close(options(untyped(input))), `${name} ${detail}`)
      }
    })

    it("every form of a duration is read in milliseconds", () => {
      for (const [input, ms] of good) {
        const { idleLingers: _lingers, lameDuck, linger, queue: _queue, ...rest } = accepted(options(input))
        const found: Record<string, number | undefined> = {
          ...rest,
          lameDuck: lameDuck.min === lameDuck.max ? lameDuck.max : undefined,
          "lameDuck.min": lameDuck.min,
          "lameDuck.quiet": lameDuck.quiet,
          "lameDuck.max": lameDuck.max,
          "linger.idle": linger.idle,
          "linger.total": linger.total
        }
        assert.strictEqual(found[name], ms)
      }
    })
  })

  it("a close may have no deadline", () => {
    for (const [input] of infinite) {
      const resolved = close({ deadline: untyped(input) })
      assert.strictEqual(typeof resolved === "string" ? resolved : resolved.deadline, Infinity)
    }
  })

  describe("lameDuck", () => {
    const lameDuck = (input: unknown) => {
      const resolved = resolve({ lameDuck: untyped(input) })
      return typeof resolved === "string" ? resolved : resolved.lameDuck
    }

    it("a duration is both its least and its most", () => {
      assert.deepStrictEqual(lameDuck("5 seconds"), { min: 5000, quiet: 0, max: 5000 })
      assert.deepStrictEqual(lameDuck({ seconds: 5 }), { min: 5000, quiet: 0, max: 5000 })
      assert.deepStrictEqual(lameDuck({ min: 5, quiet: 1, max: 5 }), { min: 5, quiet: 1, max: 5 })
    })

    it("max is not less than min", () => {
      assert.strictEqual(
        lameDuck({ min: "2 seconds", quiet: 0, max: "1 second" }),
        "drain.lameDuck.max is less than min (1000 ms < 2000 ms)"
      )
    })

    it.each([
      [{ min: 0, max: 1 }, "drain.lameDuck.quiet is not a duration (undefined)"],
      [{ quiet: 0, max: 1 }, "drain.lameDuck.min is not a duration (undefined)"],
      [{ min: 0, quiet: 0 }, "drain.lameDuck.max is not a duration (undefined)"],
      [{ min: 1 }, "drain.lameDuck.quiet is not a duration (undefined)"],
      [{ quiet: 1 }, "drain.lameDuck.min is not a duration (undefined)"],
      [{ max: 1 }, "drain.lameDuck.min is not a duration (undefined)"]
    ])("a field that is missing is named: %o", (input, message) => {
      assert.strictEqual(lameDuck(input), message)
    })
  })

  describe("linger.bytes", () => {
    it.each([-1, 1.5, NaN, Infinity, 2 ** 53, "64", null, 5n])("%o", (bytes) => {
      assert.strictEqual(
        resolve({ linger: { bytes: untyped(bytes) } }),
        `drain.linger.bytes is not a whole number of bytes (${Formatter.format(bytes)})`
      )
    })

    it.each([0, 1, 2 ** 53 - 1])("%d", (bytes) => {
      assert.strictEqual(accepted({ linger: { bytes } }).linger.bytes, bytes)
    })
  })

  describe("linger", () => {
    it("`none` is for idle connections, and leaves the bounds of the others", () => {
      const listener = { ...accepted({}), linger: { idle: 7, total: 8, bytes: 9 } }
      const none = said(Drain.resolve({ linger: "none" }, listener))
      assert.deepStrictEqual(none, { ...listener, idleLingers: false })
    })

    it("a close has the listener's word, or its own", () => {
      const listener = accepted({ linger: "none" })
      const ofClose = (options: DrainOptions) => {
        const resolved = said(Drain.resolve(options, listener))
        return typeof resolved === "string" ? resolved : resolved.idleLingers
      }
      assert.isFalse(ofClose({ deadline: 5 }))
      assert.isTrue(ofClose({ linger: { idle: 5 } }))
    })

    it.each(["all", "", "None"])("another word is refused: %s", (linger) => {
      assert.strictEqual(
        resolve({ linger: untyped(linger) }),
        `drain.linger is neither "none" nor an object (${Formatter.format(linger)})`
      )
    })
  })

  it("what a close leaves out is the listener's", () => {
    const listener: Drain.ResolvedDrain = {
      deadline: 1,
      lameDuck: { min: 2, quiet: 3, max: 4 },
      idleGrace: 5,
      spread: 10,
      abortGrace: 6,
      queue: "leave",
      linger: { idle: 7, total: 8, bytes: 9 },
      idleLingers: true
    }
    assert.deepStrictEqual(said(Drain.resolve(undefined, listener)), listener)
    assert.deepStrictEqual(said(Drain.resolve({ linger: {} }, listener)), listener)
    assert.deepStrictEqual(said(Drain.resolve({ deadline: 10, linger: { idle: 11 } }, listener)), {
      ...listener,
      deadline: 10,
      linger: { ...listener.linger, idle: 11 }
    })
  })

  it("a queue is swept or left, and nothing else", () => {
    assert.strictEqual(accepted({ queue: "leave" }).queue, "leave")
    assert.strictEqual(close({ queue: "keep" as never }), `queue is neither "sweep" nor "leave" ("keep")`)
  })

  it("the first of several bad options is named", () => {
    assert.strictEqual(resolve({ idleGrace: -1, deadline: -2 }), "drain.deadline is negative (-2)")
  })

  describe("lingerFor", () => {
    const total = (linger: LingerInput, timeLeft: number | undefined) =>
      Duration.toMillis(Drain.lingerFor(accepted({ linger }), timeLeft).total)

    it("while draining it lasts what is left of the deadline, else 30 s, unless it is set", () => {
      assert.strictEqual(total({}, 1234), 1234)
      assert.strictEqual(total({}, undefined), 30_000)
      assert.strictEqual(total({ total: "2 seconds" }, 1234), 2000)
      assert.strictEqual(total({ total: 0 }, 1234), 0)
    })

    it("a deadline that has passed leaves nothing", () => {
      assert.strictEqual(total({}, -1), 0)
    })

    it("no timer is longer than the platform's longest", () => {
      assert.strictEqual(total({}, Infinity), 2_147_483_647)
      assert.strictEqual(total({ total: "30 days" }, undefined), 2_147_483_647)
      const { idle } = Drain.lingerFor(accepted({ linger: { idle: "30 days" } }), undefined)
      assert.strictEqual(Duration.toMillis(idle), 2_147_483_647)
    })

    it("the other bounds are the options'", () => {
      const { bytes, idle } = Drain.lingerFor(Drain.defaults, undefined)
      assert.strictEqual(bytes, 64 * 1024 * 1024)
      assert.strictEqual(Duration.toMillis(idle), 500)
    })
  })
})

import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { AdmissionOptions, TimeoutOptions } from "../src/Admission.ts"
import * as Admission from "../src/internal/admission.ts"
import type { BadOption } from "../src/internal/drainOptions.ts"

// what a program written without types, or with a number from its environment, may pass
const untyped = <A>(value: unknown): A => value as A // the cast is the point: the types forbid these

/** `parameter detail` of what is refused, else the value. */
const said = <A>(result: Result.Result<A, BadOption>): A | string =>
  Result.match(result, { onSuccess: (a) => a, onFailure: ({ detail, parameter }) => `${parameter} ${detail}` })

const resolve = (options: AdmissionOptions | undefined) =>
  said(Admission.resolveAdmission(options, Admission.admissionDefaults))

describe("Admission options", () => {
  it("the defaults are as documented", () => {
    for (const nothing of [undefined, {}, { maxConnections: undefined, overflow: undefined }]) {
      assert.deepStrictEqual(resolve(nothing), { maxConnections: Infinity, overflow: "wait", maxQueued: 511 })
    }
  })

  it.each<[unknown, string]>([
    [0, "0"],
    [-1, "-1"],
    [1.5, "1.5"],
    [NaN, "NaN"],
    [-Infinity, "-Infinity"],
    [2 ** 53, "9007199254740992"],
    ["10", `"10"`],
    [null, "null"],
    [10n, "10n"]
  ])("maxConnections %o", (input, shown) => {
    assert.strictEqual(
      resolve({ maxConnections: untyped(input) }),
      `admission.maxConnections is not a whole number of at least 1 (${shown})`
    )
  })

  it.each<[unknown, string]>([
    [-1, "-1"],
    [0.5, "0.5"],
    [NaN, "NaN"],
    ["511", `"511"`]
  ])("maxQueued %o", (input, shown) => {
    assert.strictEqual(
      resolve({ maxQueued: untyped(input) }),
      `admission.maxQueued is not a whole number of at least 0 (${shown})`
    )
  })

  it.each<[unknown, string]>([
    ["queue", `"queue"`],
    ["", `""`],
    [null, "null"],
    [1, "1"]
  ])("overflow %o", (input, shown) => {
    assert.strictEqual(
      resolve({ overflow: untyped(input) }),
      `admission.overflow is neither "wait" nor "reject" (${shown})`
    )
  })

  it("limits are whole numbers or none", () => {
    assert.deepStrictEqual(resolve({ maxConnections: 1, maxQueued: 0, overflow: "reject" }), {
      maxConnections: 1,
      overflow: "reject",
      maxQueued: 0
    })
    assert.deepStrictEqual(resolve({ maxConnections: Infinity, maxQueued: Infinity }), {
      maxConnections: Infinity,
      overflow: "wait",
      maxQueued: Infinity
    })
  })

  it("what a change leaves out stays", () => {
    const base: Admission.ResolvedAdmission = { maxConnections: 10, overflow: "reject", maxQueued: 20 }
    assert.deepStrictEqual(said(Admission.resolveAdmission({}, base)), base)
    assert.deepStrictEqual(said(Admission.resolveAdmission({ maxQueued: 5 }, base)), { ...base, maxQueued: 5 })
  })
})

describe("Timeout options", () => {
  const times = (options: TimeoutOptions | undefined) => said(Admission.resolveTimeouts(options))

  it("the defaults are as documented", () => {
    for (const nothing of [undefined, {}, { open: undefined }]) {
      assert.deepStrictEqual(times(nothing), {
        open: 30_000,
        handshake: 15_000,
        firstByte: Infinity,
        inactivity: Infinity
      })
    }
  })

  it.each(["open", "handshake", "firstByte", "inactivity"] as const)("%s", (name) => {
    const bad: ReadonlyArray<readonly [input: unknown, detail: string]> = [
      [-1, "is negative (-1)"],
      [NaN, "is not a duration (NaN)"],
      ["soon", `is not a duration ("soon")`],
      [null, "is not a duration (null)"]
    ]
    for (const [input, detail] of bad) {
      assert.strictEqual(times({ [name]: untyped<Duration.Input>(input) }), `timeouts.${name} ${detail}`)
    }
    for (const [input, ms] of [["2 seconds", 2000], [Infinity, Infinity], [5, 5]] as const) {
      const resolved = times({ [name]: input })
      assert.strictEqual(typeof resolved === "string" ? resolved : resolved[name], ms)
    }
  })
})

describe("admit", () => {
  const limits = (options: Partial<Admission.ResolvedAdmission>): Admission.ResolvedAdmission => ({
    ...Admission.admissionDefaults,
    ...options
  })
  // "open" counts those being handled, "queued" those held, "taker" whether a handler or an accept is waiting
  it.each<{
    it: string
    limits: Admission.ResolvedAdmission
    now: { readonly open: number; readonly queued: number; readonly taker: boolean }
    admits: Admission.Admit
  }>([
    { it: "a taker takes it", limits: limits({}), now: { open: 9, queued: 0, taker: true }, admits: "Take" },
    { it: "nobody overtakes the queue", limits: limits({}), now: { open: 0, queued: 1, taker: true }, admits: "Queue" },
    { it: "no taker yet: held", limits: limits({}), now: { open: 0, queued: 0, taker: false }, admits: "Queue" },
    { it: "the queue has an end", limits: limits({}), now: { open: 0, queued: 510, taker: false }, admits: "Queue" },
    { it: "and there it refuses", limits: limits({}), now: { open: 0, queued: 511, taker: false }, admits: "Refuse" },
    {
      it: "the last place",
      limits: limits({ maxConnections: 10 }),
      now: { open: 9, queued: 0, taker: true },
      admits: "Take"
    },
    {
      it: "wait: full, so held",
      limits: limits({ maxConnections: 10 }),
      now: { open: 10, queued: 0, taker: true },
      admits: "Queue"
    },
    {
      it: "wait: more open than a lowered limit",
      limits: limits({ maxConnections: 5 }),
      now: { open: 10, queued: 0, taker: true },
      admits: "Queue"
    },
    {
      it: "wait: full, and the queue too",
      limits: limits({ maxConnections: 10, maxQueued: 2 }),
      now: { open: 10, queued: 2, taker: true },
      admits: "Refuse"
    },
    {
      it: "wait: with no queue at all",
      limits: limits({ maxConnections: 10, maxQueued: 0 }),
      now: { open: 10, queued: 0, taker: true },
      admits: "Refuse"
    },
    {
      it: "reject: the last place",
      limits: limits({ maxConnections: 10, overflow: "reject" }),
      now: { open: 9, queued: 0, taker: true },
      admits: "Take"
    },
    {
      it: "reject: full",
      limits: limits({ maxConnections: 10, overflow: "reject" }),
      now: { open: 10, queued: 0, taker: true },
      admits: "Refuse"
    },
    {
      it: "reject: no taker yet, but a place",
      limits: limits({ maxConnections: 10, overflow: "reject" }),
      now: { open: 0, queued: 9, taker: false },
      admits: "Queue"
    },
    {
      it: "reject: the places are spoken for by those held",
      limits: limits({ maxConnections: 10, overflow: "reject" }),
      now: { open: 4, queued: 6, taker: false },
      admits: "Refuse"
    },
    {
      it: "reject: without a limit the queue still ends",
      limits: limits({ overflow: "reject", maxQueued: 1 }),
      now: { open: 4, queued: 1, taker: false },
      admits: "Refuse"
    }
  ])("$it: $admits", ({ limits, now, admits }) => {
    assert.strictEqual(Admission.admit(limits, now), admits)
  })
})

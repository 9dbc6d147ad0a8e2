import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import type { AdmissionOptions, AgeLimit, TimeoutOptions } from "../src/Admission.ts"
import * as Admission from "../src/internal/accept/admission.ts"
import { PerRemote, remoteKey } from "../src/internal/accept/perRemote.ts"
import type { RefusalReason } from "../src/internal/options/admission.ts"
import * as Options from "../src/internal/options/admission.ts"
import type { BadOption } from "../src/internal/options/time.ts"
import * as Timeouts from "../src/internal/options/timeouts.ts"

// what a program written without types, or with a number from its environment, may pass
const untyped = <A>(value: unknown): A => value as A // the cast is the point: the types forbid these

/** `parameter detail` of what is refused, else the value. */
const said = <A>(result: Result.Result<A, BadOption>): A | string =>
  Result.match(result, { onSuccess: (a) => a, onFailure: ({ detail, parameter }) => `${parameter} ${detail}` })

const resolve = (options: AdmissionOptions | undefined) =>
  said(Options.resolveAdmission(options, Options.admissionDefaults))

describe("Admission options", () => {
  it("the defaults are as documented", () => {
    for (const nothing of [undefined, {}, { maxConnections: undefined, overflow: undefined }]) {
      assert.deepStrictEqual(resolve(nothing), {
        maxConnections: Infinity,
        overflow: "wait",
        maxQueued: 511,
        maxPerRemote: Infinity,
        remotePrefix: 64,
        acceptRate: { limit: Infinity, interval: 1000 },
        maxEventLoopLag: Infinity
      })
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

  it.each<[unknown, string]>([
    [0, "0"],
    [2.5, "2.5"],
    [null, "null"]
  ])("maxPerRemote %o", (input, shown) => {
    assert.strictEqual(
      resolve({ maxPerRemote: untyped(input) }),
      `admission.maxPerRemote is not a whole number of at least 1 (${shown})`
    )
  })

  it.each<[unknown, string]>([
    [{ limit: 0, interval: 1000 }, "admission.acceptRate.limit is not a whole number of at least 1 (0)"],
    [{ interval: 1000 }, "admission.acceptRate.limit is not a whole number of at least 1 (NaN)"],
    [{ limit: 5 }, "admission.acceptRate.interval is not a duration (undefined)"],
    [{ limit: 5, interval: -1 }, "admission.acceptRate.interval is negative (-1)"],
    [{ limit: 5, interval: 0 }, "admission.acceptRate.interval is no time at all (0)"],
    [{ limit: 5, interval: Infinity }, "admission.acceptRate.interval is infinite (Infinity)"]
  ])("acceptRate %o", (input, said) => {
    assert.strictEqual(resolve({ acceptRate: untyped(input) }), said)
  })

  it.each<[unknown, string]>([
    [0, "admission.maxEventLoopLag is no time at all (0)"],
    [-1, "admission.maxEventLoopLag is negative (-1)"],
    ["late", `admission.maxEventLoopLag is not a duration ("late")`]
  ])("maxEventLoopLag %o", (input, said) => {
    assert.strictEqual(resolve({ maxEventLoopLag: untyped(input) }), said)
  })

  it("limits are whole numbers or none", () => {
    const limited: AdmissionOptions = {
      maxConnections: 1,
      maxQueued: 0,
      overflow: "reject",
      maxPerRemote: 2,
      remotePrefix: 48,
      acceptRate: { limit: 5, interval: "2 seconds" },
      maxEventLoopLag: "70 millis"
    }
    const expected: Options.ResolvedAdmission = {
      maxConnections: 1,
      overflow: "reject",
      maxQueued: 0,
      maxPerRemote: 2,
      remotePrefix: 48,
      acceptRate: { limit: 5, interval: 2000 },
      maxEventLoopLag: 70
    }
    assert.deepStrictEqual(resolve(limited), expected)
    // what a change leaves out stays, and Infinity takes a limit away
    assert.deepStrictEqual(said(Options.resolveAdmission({}, expected)), expected)
    assert.deepStrictEqual(said(Options.resolveAdmission({ maxQueued: 5 }, expected)), { ...expected, maxQueued: 5 })
    const none = { limit: Infinity, interval: 1000 }
    assert.deepStrictEqual(
      said(Options.resolveAdmission(
        {
          maxConnections: Infinity,
          maxQueued: Infinity,
          maxPerRemote: Infinity,
          acceptRate: none,
          maxEventLoopLag: Infinity
        },
        expected
      )),
      {
        maxConnections: Infinity,
        overflow: "reject",
        maxQueued: Infinity,
        maxPerRemote: Infinity,
        remotePrefix: 48,
        acceptRate: none,
        maxEventLoopLag: Infinity
      }
    )
  })
})

describe("a remote", () => {
  const key = (address: string, prefix = 64) => remoteKey(NetAddress.inetAddressFromIpStringUnsafe(address, 80), prefix)

  it.each([
    ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", 64, true],
    ["2001:db8:1:2::1", "2001:db8:1:3::1", 64, false],
    ["2001:db8:1:2::1", "2001:db8:1:3::1", 48, true],
    ["2001:db8:1:2::1", "2001:db8:1:3::1", 63, true],
    ["2001:db8:1:2::1", "2001:db8:1:4::1", 63, false],
    ["2001:db8::1", "2001:db8::2", 128, false],
    ["2001:db8::1", "2001:db8::2", 127, false],
    ["2001:db8::2", "2001:db8::3", 127, true],
    ["10.0.0.1", "::ffff:10.0.0.1", 64, true],
    ["10.0.0.1", "::ffff:10.0.0.2", 64, false],
    ["10.0.0.1", "10.0.0.2", 64, false],
    ["::ffff:10.0.0.1", "::1", 1, false]
  ])("%s and %s, with a prefix of %i, are the same: %s", (a, b, prefix, same) => {
    assert.strictEqual(key(a, prefix) === key(b, prefix), same)
  })

  it("has no key without an IP address", () => {
    assert.isUndefined(remoteKey(NetAddress.unixPathAddress("/s"), 64))
  })

  it.each([0, 129, 1.5, NaN, -1])("a prefix of %j is none", (remotePrefix) => {
    assert.deepStrictEqual(
      resolve({ remotePrefix }),
      `admission.remotePrefix is not a whole number from 1 to 128 (${remotePrefix})`
    )
  })

  it("another prefix counts those that are present anew", () => {
    const remotes = new PerRemote(64)
    const candidate = (address: string) => ({
      remote: NetAddress.inetAddressFromIpStringUnsafe(address, 80),
      since: 0,
      remoteKey: undefined,
      counted: false,
      admitted: false,
      stopWatching: undefined,
      threw: (member: string, defect: unknown) => assert.fail(`${member} threw ${String(defect)}`)
    })
    const [one, two] = [candidate("2001:db8:1:2::1"), candidate("2001:db8:1:3::1")]
    for (const each of [one, two]) remotes.add(each)
    assert.deepStrictEqual([remotes.of(one), remotes.size], [1, 2])
    remotes.change(48, [one, two])
    assert.deepStrictEqual([remotes.of(one), remotes.of(two), remotes.size], [2, 2, 1])
    for (const each of [one, two]) remotes.remove(each)
    assert.strictEqual(remotes.size, 0)
  })
})

describe("Timeout options", () => {
  const times = (options: TimeoutOptions | undefined) => said(Timeouts.resolveTimeouts(options))

  it("the defaults are as documented", () => {
    for (const nothing of [undefined, {}, { open: undefined }]) {
      assert.deepStrictEqual(times(nothing), {
        open: 30_000,
        queued: 60_000,
        send: 60_000,
        handshake: 15_000,
        firstByte: Infinity,
        inactivity: Infinity,
        age: { max: Infinity, jitter: 0 }
      })
    }
  })

  it.each(["open", "queued", "handshake", "firstByte", "inactivity"] as const)("%s", (name) => {
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

  it.each([
    [{ max: "1 hour" }, { max: 3_600_000, jitter: 360_000 }],
    [{ max: "1 hour", jitter: 0 }, { max: 3_600_000, jitter: 0 }],
    [{ max: 1000, jitter: 1 }, { max: 1000, jitter: 1000 }],
    [{ max: 1000, jitter: "200 millis" }, { max: 1000, jitter: 200 }],
    [{ max: 1000, jitter: { milliseconds: 1000 } }, { max: 1000, jitter: 1000 }],
    [{ max: Infinity, jitter: 0.5 }, { max: Infinity, jitter: 0 }],
    [{ max: 0 }, "timeouts.age.max is no time at all (0)"],
    [{ max: -1 }, "timeouts.age.max is negative (-1)"],
    [{ max: NaN }, "timeouts.age.max is not a duration (NaN)"],
    [{ max: "soon" }, `timeouts.age.max is not a duration ("soon")`],
    [{}, "timeouts.age.max is not a duration (undefined)"],
    [{ max: 1000, jitter: 1.5 }, "timeouts.age.jitter is neither a part from 0 to 1 nor a duration (1.5)"],
    [{ max: 1000, jitter: -0.1 }, "timeouts.age.jitter is neither a part from 0 to 1 nor a duration (-0.1)"],
    [{ max: 1000, jitter: NaN }, "timeouts.age.jitter is neither a part from 0 to 1 nor a duration (NaN)"],
    [{ max: 1000, jitter: "2 seconds" }, "timeouts.age.jitter is more than max (2000 ms > 1000 ms)"],
    [{ max: 1000, jitter: "-1 seconds" }, `timeouts.age.jitter is negative ("-1 seconds")`],
    [{ max: 1000, jitter: null }, "timeouts.age.jitter is not a duration (null)"],
    ["1 hour", `timeouts.age has no max ("1 hour")`],
    [null, "timeouts.age has no max (null)"]
  ])("an age of %j", (age, expected) => {
    const resolved = times({ age: untyped<AgeLimit>(age) })
    assert.deepStrictEqual(typeof resolved === "string" ? resolved : resolved.age, expected)
  })
})

describe("refusal", () => {
  const limits = (options: Partial<Options.ResolvedAdmission>): Options.ResolvedAdmission => ({
    ...Options.admissionDefaults,
    ...options
  })
  // "open" counts those being handled, "queued" those held, "consumer" whether a handler or an accept is waiting
  const calm: Admission.Arrival = {
    open: 0,
    queued: 0,
    consumer: true,
    makeRoom: 0,
    fromRemote: 0,
    inTime: true,
    lag: 0
  }
  it.each<{
    it: string
    limits: Options.ResolvedAdmission
    now: Partial<Admission.Arrival>
    refused?: RefusalReason
  }>([
    { it: "a consumer takes it", limits: limits({}), now: { open: 9 } },
    {
      it: "no connection overtakes the queue",
      limits: limits({ maxQueued: 1 }),
      now: { queued: 1 },
      refused: "maxQueued"
    },
    { it: "no consumer yet: held", limits: limits({}), now: { consumer: false } },
    { it: "the queue has an end", limits: limits({}), now: { queued: 510, consumer: false } },
    { it: "and there it refuses", limits: limits({}), now: { queued: 511, consumer: false }, refused: "maxQueued" },
    { it: "the last place", limits: limits({ maxConnections: 10, maxQueued: 0 }), now: { open: 9 } },
    { it: "wait: full, so held", limits: limits({ maxConnections: 10 }), now: { open: 10 } },
    { it: "wait: more open than a lowered limit", limits: limits({ maxConnections: 5 }), now: { open: 10 } },
    {
      it: "wait: full, and the queue too",
      limits: limits({ maxConnections: 10, maxQueued: 2 }),
      now: { open: 10, queued: 2 },
      refused: "maxQueued"
    },
    {
      it: "wait: with no queue at all",
      limits: limits({ maxConnections: 10, maxQueued: 0 }),
      now: { open: 10 },
      refused: "maxQueued"
    },
    { it: "reject: the last place", limits: limits({ maxConnections: 10, overflow: "reject" }), now: { open: 9 } },
    {
      it: "reject: full",
      limits: limits({ maxConnections: 10, overflow: "reject" }),
      now: { open: 10 },
      refused: "maxConnections"
    },
    {
      it: "reject: full, but as many are idle as there are newcomers",
      limits: limits({ maxConnections: 10, overflow: "reject" }),
      now: { open: 10, queued: 2, makeRoom: 3 }
    },
    {
      it: "reject: full, and the idle ones are spoken for",
      limits: limits({ maxConnections: 10, overflow: "reject" }),
      now: { open: 10, queued: 3, makeRoom: 3 },
      refused: "maxConnections"
    },
    {
      it: "reject: no consumer yet, but a place",
      limits: limits({ maxConnections: 10, overflow: "reject" }),
      now: { queued: 9, consumer: false }
    },
    {
      it: "reject: the places are spoken for by those held",
      limits: limits({ maxConnections: 10, overflow: "reject" }),
      now: { open: 4, queued: 6, consumer: false },
      refused: "maxConnections"
    },
    {
      it: "reject: without a limit the queue still ends",
      limits: limits({ overflow: "reject", maxQueued: 1 }),
      now: { open: 4, queued: 1, consumer: false },
      refused: "maxQueued"
    },
    { it: "the last one of a remote", limits: limits({ maxPerRemote: 2 }), now: { fromRemote: 1 } },
    { it: "one more", limits: limits({ maxPerRemote: 2 }), now: { fromRemote: 2 }, refused: "maxPerRemote" },
    { it: "wait: out of turn, so held", limits: limits({}), now: { inTime: false } },
    {
      it: "wait: out of turn, with no queue",
      limits: limits({ maxQueued: 0 }),
      now: { inTime: false },
      refused: "maxQueued"
    },
    {
      it: "reject: out of turn",
      limits: limits({ overflow: "reject" }),
      now: { inTime: false },
      refused: "acceptRate"
    },
    { it: "as late as allowed", limits: limits({ maxEventLoopLag: 50 }), now: { lag: 50 } },
    { it: "later", limits: limits({ maxEventLoopLag: 50 }), now: { lag: 51 }, refused: "maxEventLoopLag" }
  ])("$it: $refused", ({ limits, now, refused }) => {
    assert.strictEqual(Admission.refusal(limits, { ...calm, ...now }), refused)
  })
})

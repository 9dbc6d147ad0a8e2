import type { DrainProgress } from "@effect-listener/core/Drain"
import type { ConnectionInfo, DrainReport } from "@effect-listener/core/DrainReport"
import * as ListenerError from "@effect-listener/core/ListenerError"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { afterSignal, exitCode } from "../src/internal/main/exitCode.ts"
import * as ProgressLine from "../src/internal/main/progressLine.ts"

const info = (over: Partial<ConnectionInfo> = {}): ConnectionInfo => ({
  id: 1,
  remote: "10.0.0.7:50112",
  protocol: "tcp",
  phase: "Active",
  exchanges: [],
  age: 41_000,
  bytesIn: 0,
  bytesOut: 0,
  bytesPending: 0,
  ...over
})

const report = (over: Partial<DrainReport> = {}): DrainReport => ({
  listener: "api",
  reason: "SIGTERM",
  outcome: "Drained",
  duration: 1,
  swept: 0,
  sweepCut: false,
  refused: 0,
  connections: {
    total: 0,
    drained: 0,
    idle: 0,
    endedByPeer: 0,
    failed: 0,
    cut: 0,
    closer: 0,
    detached: 0,
    neverAccepted: 0
  },
  cut: [],
  handlersLeftBehind: [],
  ...over
})

const clean = report()
const late = report({ outcome: "DeadlineExceeded", cut: [info()] })

describe("the exit code", () => {
  it.each([
    { name: "nothing to close", program: 0, reports: [], code: 0 },
    { name: "all drained", program: 0, reports: [clean, clean], code: 0 },
    { name: "one of two cut somebody at its deadline", program: 0, reports: [clean, late], code: 124 },
    { name: "an abort cut somebody", program: 0, reports: [report({ outcome: "Aborted", cut: [info()] })], code: 124 },
    { name: "an abort with nobody there", program: 0, reports: [report({ outcome: "Aborted" })], code: 0 },
    {
      name: "a handler was left behind",
      program: 0,
      reports: [report({ outcome: "DeadlineExceeded", handlersLeftBehind: [info()] })],
      code: 124
    },
    {
      name: "who was accepted got nobody",
      program: 0,
      reports: [report({ outcome: "DeadlineExceeded", connections: { ...clean.connections, neverAccepted: 1 } })],
      code: 124
    },
    { name: "the program failed", program: 1, reports: [clean], code: 1 },
    { name: "the program's own code", program: 7, reports: [clean], code: 7 },
    { name: "a failure wins over a cut", program: 1, reports: [late], code: 1 }
  ])("$code: $name", ({ code, program, reports }) => {
    assert.strictEqual(exitCode({ program, reports }), code)
  })
})

const at = { listener: "api", trail: [] }
const aborted = (operation: string) => new ListenerError.OperationAborted({ ...at, operation })
const invalid = (operation: string) => new ListenerError.InvalidOperation({ ...at, operation, state: "Closed" })

describe("what a graceful signal brought about is no failure", () => {
  it.each([
    { name: "the interruption", cause: Cause.interrupt(1) },
    { name: "a waiting accept that the close ended", cause: Cause.fail(aborted("accept")) },
    { name: "an accept after the close", cause: Cause.fail(invalid("accept")) },
    { name: "an open that the close cancelled", cause: Cause.die(aborted("open")) },
    { name: "both", cause: Cause.combine(Cause.interrupt(1), Cause.fail(aborted("accept"))) }
  ])("$name", ({ cause }) => {
    assert.deepStrictEqual(afterSignal(Exit.failCause<unknown>(cause)), Exit.void)
  })

  it.each([
    { name: "another error", cause: Cause.fail("boom") },
    { name: "a defect", cause: Cause.die(new Error("boom")) },
    { name: "a misuse", cause: Cause.fail(invalid("reset")) },
    { name: "an error beside the interruption", cause: Cause.combine(Cause.interrupt(1), Cause.fail("boom")) }
  ])("unlike $name", ({ cause }) => {
    const exit: Exit.Exit<never, unknown> = Exit.failCause<unknown>(cause)
    assert.strictEqual(afterSignal(exit), exit)
  })

  it("a success stays", () => {
    const exit = Exit.succeed(1)
    assert.strictEqual(afterSignal(exit), exit)
  })
})

const progress = (over: Partial<DrainProgress> = {}): DrainProgress => ({
  listener: "api",
  stage: "Draining",
  remaining: 37,
  timeLeft: 11_400,
  connections: 120,
  oldest: Option.some(info({ exchanges: [{ label: "GET /export", age: 41_900 }] })),
  ...over
})

describe("the progress line", () => {
  it("says how many, how long, and who", () => {
    assert.strictEqual(
      ProgressLine.format([progress()]),
      "draining 37 of 120 · 12 s left · oldest GET /export 41 s from 10.0.0.7:50112"
    )
  })

  it("adds several listeners up, as far as the last of them", () => {
    assert.strictEqual(
      ProgressLine.format([
        progress({ stage: "Aborting", oldest: Option.none() }),
        progress({ stage: "Draining", remaining: 1, connections: 2, timeLeft: 20_000, oldest: Option.none() }),
        progress({ stage: "Closed", remaining: 0, connections: 10, timeLeft: 60_000 })
      ]),
      "draining 38 of 132 · 20 s left"
    )
  })

  it("names the oldest exchange, else the phase", () => {
    const exchanges = [{ label: "a", age: 1000 }, { label: "b", age: 9000 }, { label: "c", age: 2000 }]
    assert.include(ProgressLine.format([progress({ oldest: Option.some(info({ exchanges })) })]), "oldest b 9 s from")
    assert.include(
      ProgressLine.format([progress({ oldest: Option.some(info({ phase: "Lingering" })) })]),
      "oldest Lingering 41 s from 10.0.0.7:50112"
    )
  })

  it("says when there is no deadline, and nothing when nothing is closing", () => {
    assert.include(ProgressLine.format([progress({ timeLeft: Infinity })]), "no deadline")
    assert.isUndefined(ProgressLine.format([]))
    assert.isUndefined(ProgressLine.format([progress({ stage: "Closed" })]))
  })

  it("lets no label move the cursor", () => {
    const exchanges = [{ label: "GET /\u001b[2J\n", age: 0 }]
    assert.include(
      ProgressLine.format([progress({ oldest: Option.some(info({ exchanges })) })]),
      "oldest GET /?[2J? 0 s"
    )
  })

  it("is one live line on a terminal, no wider than it, and lines elsewhere", () => {
    const written: Array<string> = []
    const write = (text: string) => written.push(text)
    const live = ProgressLine.makeDisplay({ write, isTTY: true, columns: 10 })
    live.show("draining 37 of 120")
    live.clear()
    assert.deepStrictEqual(written.splice(0), ["\r\u001b[2Kdraining ", "\r\u001b[2K"])
    assert.strictEqual(live.interval, 100)
    const plain = ProgressLine.makeDisplay({ write })
    plain.show("draining 37 of 120")
    plain.clear()
    assert.deepStrictEqual(written, ["draining 37 of 120\n"])
    assert.strictEqual(plain.interval, 1000)
  })
})

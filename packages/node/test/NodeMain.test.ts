import type { DrainProgress } from "@effect-listener/core/Drain"
import type { ConnectionInfo, DrainReport } from "@effect-listener/core/DrainReport"
import * as ListenerError from "@effect-listener/core/ListenerError"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { fit, LiveLine } from "../src/internal/display/liveLine.ts"
import * as ProgressLine from "../src/internal/display/progressLine.ts"
import { afterSignal, exitCode, worst } from "../src/internal/main/exitCode.ts"
import * as Signals from "../src/internal/main/stopping/signals.ts"
import * as StopPolicy from "../src/internal/main/stopping/stopPolicy.ts"

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
  queue: "swept",
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
    { name: "one of two cut a client at its deadline", program: 0, reports: [clean, late], code: 124 },
    { name: "an abort cut a client", program: 0, reports: [report({ outcome: "Aborted", cut: [info()] })], code: 124 },
    { name: "an abort without clients", program: 0, reports: [report({ outcome: "Aborted" })], code: 0 },
    {
      name: "a handler was left behind",
      program: 0,
      reports: [report({ outcome: "DeadlineExceeded", handlersLeftBehind: [info()] })],
      code: 124
    },
    {
      name: "what was accepted was not taken",
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

const format = (closes: ReadonlyArray<DrainProgress>): string | undefined => {
  const summary = ProgressLine.summary(closes)
  return summary === undefined ? undefined : ProgressLine.format(summary)
}

describe("the progress line", () => {
  it("says how many, how long, and which", () => {
    assert.strictEqual(
      format([progress()]),
      "draining 37 of 120 · 12 s left · oldest GET /export 41 s from 10.0.0.7:50112"
    )
  })

  it("adds several listeners up, as far as the last of them", () => {
    assert.strictEqual(
      format([
        progress({ stage: "Aborting", oldest: Option.none() }),
        progress({ stage: "Draining", remaining: 1, connections: 2, timeLeft: 20_000, oldest: Option.none() }),
        progress({ stage: "Closed", remaining: 0, connections: 10, timeLeft: 60_000 })
      ]),
      "draining 38 of 132 · 20 s left"
    )
  })

  it("names the oldest exchange, else the phase", () => {
    const exchanges = [{ label: "a", age: 1000 }, { label: "b", age: 9000 }, { label: "c", age: 2000 }]
    assert.include(format([progress({ oldest: Option.some(info({ exchanges })) })]), "oldest b 9 s from")
    assert.include(
      format([progress({ oldest: Option.some(info({ phase: "Lingering" })) })]),
      "oldest Lingering 41 s from 10.0.0.7:50112"
    )
  })

  it("says when there is no deadline, and nothing when nothing is closing", () => {
    assert.include(format([progress({ timeLeft: Infinity })]), "no deadline")
    assert.isUndefined(format([]))
    assert.isUndefined(format([progress({ stage: "Closed" })]))
  })

  it("lets no label move the cursor", () => {
    const exchanges = [{ label: "GET /\u001b[2J\n", age: 0 }]
    assert.include(
      format([progress({ oldest: Option.some(info({ exchanges })) })]),
      "oldest GET /?[2J? 0 s"
    )
  })

  it("as annotations of a log entry: numbers, and none without a deadline", () => {
    const annotations = (closes: ReadonlyArray<DrainProgress>) => {
      const summary = ProgressLine.summary(closes)
      return summary === undefined ? undefined : ProgressLine.annotations(summary)
    }
    assert.deepStrictEqual(annotations([progress()]), {
      event: "progress",
      stage: "Draining",
      remaining: 37,
      connections: 120,
      timeLeft: 11_400,
      oldest: "10.0.0.7:50112"
    })
    assert.deepInclude(annotations([progress({ timeLeft: Infinity })]), { timeLeft: "none" })
  })
})

/** A terminal that shows what is written to it. */
const terminal = (columns: number) => {
  const written: Array<string> = []
  const stream = {
    isTTY: true,
    columns,
    write: (text: string) => {
      written.push(text)
      return true
    }
  }
  return { stream, written, take: () => written.splice(0).join("") }
}

describe("the live line", () => {
  const setup = (columns = 40) => {
    const err = terminal(columns)
    const out = terminal(columns)
    const own = err.stream.write
    const line = new LiveLine(() => err.stream, () => [out.stream, err.stream], (text) => err.stream.write(text))
    return { err, out, own, line }
  }

  it("is rewritten in place, and nothing is left of it or of its watching", () => {
    const { err, line, out, own } = setup()
    line.show("draining 37 of 120")
    line.show("draining 36 of 120")
    assert.strictEqual(err.take(), "\r\u001b[2Kdraining 37 of 120\r\u001b[2Kdraining 36 of 120")
    line.clear()
    assert.strictEqual(err.take(), "\r\u001b[2K")
    line.clear()
    assert.strictEqual(err.take() + out.take(), "")
    assert.strictEqual(err.stream.write, own)
  })

  it("goes away before what others write, on either stream, and comes back on a line of its own", () => {
    const { err, line, out } = setup()
    line.show("draining 2 of 2")
    err.take()
    out.stream.write("closed\n")
    assert.strictEqual(err.take(), "\r\u001b[2K")
    assert.strictEqual(out.take(), "closed\n")
    line.show("draining 1 of 2")
    err.take()
    err.stream.write("half a line")
    assert.strictEqual(err.take(), "\r\u001b[2Khalf a line")
    line.show("draining 0 of 2")
    assert.strictEqual(err.take(), "\ndraining 0 of 2")
  })

  it("waits while a stopped terminal has not taken what was written before", () => {
    const { err, line } = setup()
    line.show("draining 2 of 2")
    err.take()
    Object.assign(err.stream, { writableLength: 20 })
    line.show("draining 1 of 2")
    assert.strictEqual(err.take(), "")
  })

  it("leaves alone what another has put in its place meanwhile", () => {
    const { err, line } = setup()
    line.show("draining 1 of 1")
    const watched = err.stream.write
    const other = (text: string) => watched(text.toUpperCase())
    err.stream.write = other
    line.clear()
    assert.strictEqual(err.stream.write, other)
    err.take()
    err.stream.write("a log line\n")
    assert.strictEqual(err.take(), "A LOG LINE\n")
  })

  it.each([
    ["short enough", 12, "short enough"],
    ["one too long", 11, "one too lo…"],
    ["a", 0, "a"],
    ["ab", 1, "…"],
    // a character may take two columns, and is never halved
    ["日本語", 6, "日本語"],
    ["日本語", 5, "日本…"],
    ["日本語", 4, "日…"],
    ["a😀b", 3, "a…"],
    ["1 · 2 … 3", 9, "1 · 2 … 3"]
  ])("%j in %i columns: %j", (text, columns, shown) => {
    assert.strictEqual(fit(text, columns), shown)
  })
})

const phases = ["Running", "Closing", "Asked", "Stopping", "Ending"] as const

describe("what a signal means, by how far the end of the program is", () => {
  const cells: Record<
    StopPolicy.StopPhase,
    Record<StopPolicy.StopEvent, [StopPolicy.StopPhase, StopPolicy.StopAction]>
  > = {
    Running: {
      Signal: ["Asked", "Close"],
      CopiesOver: ["Running", "None"],
      Other: ["Closing", "Close"],
      Ended: ["Ending", "None"]
    },
    Closing: {
      Signal: ["Asked", "None"],
      CopiesOver: ["Closing", "None"],
      Other: ["Closing", "None"],
      Ended: ["Ending", "None"]
    },
    Asked: {
      Signal: ["Asked", "None"],
      CopiesOver: ["Stopping", "None"],
      Other: ["Asked", "None"],
      Ended: ["Ending", "None"]
    },
    Stopping: {
      Signal: ["Ending", "Force"],
      CopiesOver: ["Stopping", "None"],
      Other: ["Stopping", "None"],
      Ended: ["Ending", "None"]
    },
    Ending: {
      Signal: ["Ending", "None"],
      CopiesOver: ["Ending", "None"],
      Other: ["Ending", "None"],
      Ended: ["Ending", "None"]
    }
  }
  const each = phases.flatMap((phase) =>
    (["Signal", "CopiesOver", "Other", "Ended"] as const).map((event) =>
      [phase, event, ...cells[phase][event]] as const
    )
  )
  it.each(each)("%s, %s: %s, %s", (phase, event, next, action) => {
    assert.deepStrictEqual(StopPolicy.decide(phase, event), { next, action })
  })

  it("whatever comes, a program is closed once and forced once", () => {
    const events = ["Signal", "CopiesOver", "Other", "Ended"] as const
    const walk = (phase: StopPolicy.StopPhase, depth: number, actions: ReadonlyArray<StopPolicy.StopAction>): void => {
      assert.isAtMost(actions.filter((action) => action === "Close").length, 1)
      assert.isAtMost(actions.filter((action) => action === "Force").length, 1)
      // nothing is forced that was not closed before
      assert.isTrue(!actions.includes("Force") || actions.indexOf("Close") < actions.indexOf("Force"))
      if (depth === 0) return
      for (const event of events) {
        const { action, next } = StopPolicy.decide(phase, event)
        walk(next, depth - 1, [...actions, action])
      }
    }
    walk("Running", 6, [])
  })
})

describe("the worst exit code", () => {
  it.each([
    [[], 0],
    [[0, 0], 0],
    [[0, 124], 124],
    [[124, 0, 1], 1],
    [[1, 124], 1],
    [[7, 1], 7]
  ])("of %j is %i", (codes, code) => {
    assert.strictEqual(worst(codes), code)
  })
})

describe("the signals to listen to", () => {
  it("are SIGTERM, SIGINT, SIGHUP and SIGQUIT, or those that are named, each once", () => {
    assert.deepStrictEqual(Result.getOrThrow(Signals.check(undefined)), ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"])
    assert.deepStrictEqual(Result.getOrThrow(Signals.check(["SIGUSR2", "SIGUSR2"])), ["SIGUSR2"])
    assert.deepStrictEqual(Result.getOrThrow(Signals.check([])), [])
    assert.deepStrictEqual(Signals.defaultSignals.map(Signals.forcedExitCode), [143, 130, 129, 131])
  })

  it.each(["SIGKILL", "SIGSTOP", "SIGSEGV"] as const)("cannot be %s", (signal) => {
    assert.deepStrictEqual(
      Signals.check(["SIGTERM", signal]),
      Result.fail(`has ${signal}, which a program cannot listen to`)
    )
  })
})

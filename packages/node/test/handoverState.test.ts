import { assert, describe, it } from "@effect/vitest"
import {
  commandOf,
  environmentWithoutInspector,
  type Origin,
  withoutInspector
} from "../src/internal/handover/command.ts"
import { decide, type Decision, type Event, type State, unfit } from "../src/internal/handover/handoverState.ts"

const fault = { reason: "TimedOut", detail: "late" } as const

const states: Record<State["phase"], State> = {
  Starting: { phase: "Starting" },
  Going: { phase: "Going" },
  Verifying: { phase: "Verifying" },
  Leaving: { phase: "Leaving" },
  RollingBack: { phase: "RollingBack", fault },
  Failed: { phase: "Failed" }
}

const events: Record<Event["type"], Event> = {
  Prepared: { type: "Prepared" },
  Accepting: { type: "Accepting" },
  Verified: { type: "Verified" },
  Silent: { type: "Silent" },
  Ended: { type: "Ended", detail: "ended with code 3" },
  Wrong: { type: "Wrong", detail: "nonsense" },
  TimedOut: { type: "TimedOut", detail: "late" },
  Cancelled: { type: "Cancelled", detail: "SIGTERM" }
}

const brief = ({ action, next }: Decision): string =>
  `${next.phase} ${action.type}${
    action.type === "Fail" ? ` ${action.fault.reason}` : next.phase === "RollingBack" ? ` ${next.fault.reason}` : ""
  }`

/** What a phase makes of each event: the next phase, what is done, and the reason that the caller will be told. */
const table: Record<State["phase"], Record<Event["type"], string>> = {
  Starting: {
    Prepared: "Going Go",
    Accepting: "RollingBack Kill Refused",
    Verified: "Starting None",
    Silent: "RollingBack Kill Exited",
    Ended: "Failed Fail Exited",
    Wrong: "RollingBack Kill Refused",
    TimedOut: "RollingBack Kill TimedOut",
    Cancelled: "RollingBack Kill Closing"
  },
  Going: {
    Prepared: "RollingBack Kill Refused",
    Accepting: "Verifying Verify",
    Verified: "Going None",
    Silent: "RollingBack Kill Exited",
    Ended: "Failed Fail Exited",
    Wrong: "RollingBack Kill Refused",
    TimedOut: "RollingBack Kill TimedOut",
    Cancelled: "RollingBack Kill Closing"
  },
  // it may have accepted clients
  Verifying: {
    Prepared: "RollingBack Kill Refused",
    Accepting: "RollingBack Kill Refused",
    Verified: "Leaving Leave",
    Silent: "RollingBack Kill Exited",
    Ended: "Failed Fail Exited",
    Wrong: "RollingBack Withdraw Refused",
    TimedOut: "RollingBack Withdraw TimedOut",
    Cancelled: "RollingBack Withdraw Closing"
  },
  Leaving: {
    Prepared: "Leaving None",
    Accepting: "Leaving None",
    Verified: "Leaving None",
    Silent: "Leaving None",
    Ended: "Leaving None",
    Wrong: "Leaving None",
    TimedOut: "Leaving None",
    Cancelled: "Leaving None"
  },
  RollingBack: {
    Prepared: "RollingBack None TimedOut",
    Accepting: "RollingBack None TimedOut",
    Verified: "RollingBack None TimedOut",
    Silent: "RollingBack None TimedOut",
    Ended: "Failed Fail TimedOut",
    Wrong: "RollingBack None TimedOut",
    TimedOut: "RollingBack None TimedOut",
    Cancelled: "RollingBack None TimedOut"
  },
  Failed: {
    Prepared: "Failed None",
    Accepting: "Failed None",
    Verified: "Failed None",
    Silent: "Failed None",
    Ended: "Failed None",
    Wrong: "Failed None",
    TimedOut: "Failed None",
    Cancelled: "Failed None"
  }
}

describe("a hand-over", () => {
  for (const state of Object.values(states)) {
    for (const event of Object.values(events)) {
      const expected = table[state.phase][event.type]
      it(`${state.phase}, ${event.type}: ${expected}`, () => {
        assert.strictEqual(brief(decide(state, event)), expected)
      })
    }
  }
})

describe("no program can be handed over", () => {
  const fit = { pid: 7, cannotHold: undefined, sockets: 1 }
  it.each([
    [fit, undefined],
    [
      { ...fit, pid: 1 },
      "this is process 1, with whose end the container ends: run NodeWorkers.runMain as process 1, or let the orchestrator replace the container"
    ],
    [{ ...fit, cannotHold: "this is too old" }, "not supported: this is too old"],
    [{ ...fit, sockets: 0 }, "the program listens nowhere"]
  ])("%j: %s", (facts, detail) => {
    assert.deepStrictEqual(unfit(facts), detail === undefined ? undefined : { reason: "Refused", detail })
  })
})

describe("what a successor is started with", () => {
  const origin: Origin = {
    argv: ["/opt/node-24/bin/node", "/srv/app/current/main.ts", "--port", "1"],
    argv0: "/bin/sh",
    execPath: "/opt/node-24/bin/node",
    execArgv: ["--inspect=0", "--enable-source-maps"],
    env: { PATH: "/bin", NODE_OPTIONS: "--inspect-brk --max-old-space-size=100", A: "1" }
  }

  it("is this program as it was named, without the inspector", () => {
    const command = commandOf({ env: { B: "2" } }, origin)
    assert.deepStrictEqual(command, {
      node: "/bin/sh",
      args: ["--enable-source-maps", "/srv/app/current/main.ts", "--port", "1"],
      cwd: undefined,
      env: { PATH: "/bin", NODE_OPTIONS: "--max-old-space-size=100", A: "1", B: "2" }
    })
  })

  it("is what the options say", () => {
    const command = commandOf({ program: new URL("file:///x/y.ts"), args: [], execArgv: [], cwd: "/x" }, origin)
    assert.deepStrictEqual(command, {
      node: "/bin/sh",
      args: ["/x/y.ts"],
      cwd: "/x",
      env: { PATH: "/bin", NODE_OPTIONS: "--max-old-space-size=100", A: "1" }
    })
  })

  it.each([
    ["a name that PATH leads to", "sh", "/bin/sh"],
    ["a file that is gone", "/opt/node-22/bin/node", "/opt/node-24/bin/node"],
    ["a name that is nowhere", "worker: 1", "/opt/node-24/bin/node"]
  ])("is started by %s", (_, argv0, node) => {
    const command = commandOf({}, { ...origin, argv0 })
    assert.strictEqual(typeof command === "string" ? command : command.node, node)
  })

  it("cannot be what was no file", () => {
    const command = commandOf({}, { ...origin, argv: ["/opt/node"] })
    assert.match(typeof command === "string" ? command : "", /say by program/)
  })

  it.each([
    [["--inspect", "-r", "x"], ["-r", "x"]],
    [["--inspect-port", "9230", "--inspect=1"], []],
    [["--inspect-brk=127.0.0.1:1", "--no-warnings"], ["--no-warnings"]],
    [["--inspector-is-not-this"], ["--inspector-is-not-this"]]
  ])("%j becomes %j", (args, left) => {
    assert.deepStrictEqual(withoutInspector(args), left)
    const env = (options: ReadonlyArray<string>) => ({ A: "1", NODE_OPTIONS: options.join(" ") })
    assert.deepStrictEqual(environmentWithoutInspector(env(args)), env(left))
  })
})

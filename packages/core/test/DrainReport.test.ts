import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as DrainReport from "../src/DrainReport.ts"
import { report } from "./support/errors.ts"

const info: DrainReport.ConnectionInfo = {
  id: 3,
  remote: "10.0.0.7:50112",
  protocol: "tcp",
  phase: "Active",
  exchanges: [],
  age: 45_000,
  bytesIn: 12,
  bytesOut: 7,
  bytesPending: 0
}

const none: DrainReport.ConnectionCounts = {
  total: 0,
  drained: 0,
  idle: 0,
  endedByPeer: 0,
  failed: 0,
  cut: 0,
  closer: 0,
  detached: 0,
  neverAccepted: 0
}

const quiet: DrainReport.DrainReport = {
  listener: "api",
  reason: "close",
  outcome: "Drained",
  duration: 0,
  swept: 0,
  sweepCut: false,
  queue: "swept",
  refused: 0,
  connections: none,
  cut: [],
  handlersLeftBehind: []
}

const counts = (ends: Partial<Record<DrainReport.EndReason, number>>): DrainReport.ConnectionCounts => ({
  ...none,
  ...ends,
  total: Object.values(ends).reduce((sum, n) => sum + n, 0)
})

const json = Schema.toCodecJson(DrainReport.DrainReport)

describe("DrainReport", () => {
  describe("format", () => {
    it("a report as a person would like to read it", () => {
      assert.strictEqual(
        DrainReport.format(report),
        [
          "api: deadline exceeded after 20.5 s (SIGTERM)",
          "  21 connections: 1 drained, 2 idle, 3 ended by peer, 4 failed, 1 cut, 4 detached, 6 never accepted; " +
          "3 swept, sweep cut short, 2 refused",
          "  cut #7 10.0.0.7:50112 tcp Active, GET /export 41.0 s, GET / 3 ms, open 45.0 s, 1.2 MiB unsent",
          "  handler left behind #8 /run/api.sock unix Flushing, open 0 ms"
        ].join("\n")
      )
    })

    it("nothing happened", () => {
      assert.strictEqual(DrainReport.format(quiet), "api: drained in 0 ms (close)\n  0 connections")
    })

    it.each<[DrainReport.Outcome, string]>([
      ["Drained", "api: drained in 412 ms (close)"],
      ["DeadlineExceeded", "api: deadline exceeded after 412 ms (close)"],
      ["Aborted", "api: aborted after 412 ms (close)"]
    ])("%s", (outcome, line) => {
      assert.strictEqual(DrainReport.format({ ...quiet, outcome, duration: 412 }).split("\n")[0], line)
    })

    it.each<[Partial<Record<DrainReport.EndReason, number>>, string]>([
      [{ drained: 1 }, "1 connection: 1 drained"],
      [{ idle: 2 }, "2 connections: 2 idle"],
      [{ endedByPeer: 1 }, "1 connection: 1 ended by peer"],
      [{ failed: 1 }, "1 connection: 1 failed"],
      [{ cut: 1 }, "1 connection: 1 cut"],
      [{ closer: 1 }, "1 connection: 1 closer"],
      [{ detached: 1 }, "1 connection: 1 detached"],
      [{ neverAccepted: 1 }, "1 connection: 1 never accepted"],
      // whatever order they are given in
      [
        { neverAccepted: 1, closer: 1, cut: 1, drained: 9 },
        "12 connections: 9 drained, 1 cut, 1 closer, 1 never accepted"
      ]
    ])("%o", (ends, line) => {
      assert.strictEqual(DrainReport.format({ ...quiet, connections: counts(ends) }).split("\n")[1], `  ${line}`)
    })

    it.each<[Partial<DrainReport.DrainReport>, string]>([
      [{ swept: 1 }, "0 connections; 1 swept"],
      [{ sweepCut: true }, "0 connections; sweep cut short"],
      [{ queue: "left" }, "0 connections; accept queue left"],
      [{ refused: 1 }, "0 connections; 1 refused"],
      [{ refused: 1, swept: 2, connections: counts({ idle: 2 }) }, "2 connections: 2 idle; 2 swept, 1 refused"]
    ])("%o", (facts, line) => {
      assert.strictEqual(DrainReport.format({ ...quiet, ...facts }).split("\n")[1], `  ${line}`)
    })

    it("one line for each connection that was cut or left behind, in their order", () => {
      const lines = DrainReport.format({
        ...quiet,
        cut: [info, { ...info, id: 4 }],
        handlersLeftBehind: [{ ...info, id: 5 }]
      }).split("\n")
      assert.deepStrictEqual(lines.slice(2), [
        "  cut #3 10.0.0.7:50112 tcp Active, open 45.0 s",
        "  cut #4 10.0.0.7:50112 tcp Active, open 45.0 s",
        "  handler left behind #5 10.0.0.7:50112 tcp Active, open 45.0 s"
      ])
    })

    it("names 1000 of each, and says how many more there are", () => {
      const cut = Array.from({ length: 1003 }, (_, id) => ({ ...info, id }))
      const lines = DrainReport.format({ ...quiet, cut, handlersLeftBehind: cut }).split("\n")
      assert.lengthOf(lines, 2 + 2 * 1001)
      assert.strictEqual(lines[1002], "  and 3 more cut")
      assert.strictEqual(lines.at(-1), "  and 3 more handler left behind")
    })

    it("text from outside stays in its line", () => {
      const lines = DrainReport.format({ ...quiet, listener: "a\nb", reason: "c\u0007d\u2029" }).split("\n")
      assert.strictEqual(lines[0], String.raw`a\nb: drained in 0 ms (c\u0007d\u2029)`)
      assert.lengthOf(lines, 2)
    })
  })

  describe("formatConnection", () => {
    it.each<[Partial<DrainReport.ConnectionInfo>, string]>([
      [{}, "#3 10.0.0.7:50112 tcp Active, open 45.0 s"],
      [{ phase: "Lingering", remote: "[::1]:9" }, "#3 [::1]:9 tcp Lingering, open 45.0 s"],
      [
        { exchanges: [{ label: "GET /export", age: 41_000 }] },
        "#3 10.0.0.7:50112 tcp Active, GET /export 41.0 s, open 45.0 s"
      ],
      [
        { exchanges: [{ label: "a", age: 1 }, { label: "b", age: 1500 }] },
        "#3 10.0.0.7:50112 tcp Active, a 1 ms, b 1.5 s, open 45.0 s"
      ],
      [{ phase: "Lingering", phaseAge: 400 }, "#3 10.0.0.7:50112 tcp Lingering 400 ms, open 45.0 s"],
      // the same as how long it is open
      [{ phase: "Handshake", phaseAge: 45_000 }, "#3 10.0.0.7:50112 tcp Handshake, open 45.0 s"],
      [
        { exchanges: Array.from({ length: 10 }, (_, stream) => ({ label: `s${stream}`, age: 1 })) },
        "#3 10.0.0.7:50112 tcp Active, s0 1 ms, s1 1 ms, s2 1 ms, s3 1 ms, s4 1 ms, s5 1 ms, s6 1 ms, s7 1 ms, and 2 more, open 45.0 s"
      ],
      [
        { exchanges: [{ label: "GET /\u202egnp.exe", age: 1 }] },
        String.raw`#3 10.0.0.7:50112 tcp Active, GET /\u202egnp.exe 1 ms, open 45.0 s`
      ],
      [{ bytesPending: 1 }, "#3 10.0.0.7:50112 tcp Active, open 45.0 s, 1 B unsent"],
      [
        { exchanges: [{ label: "GET /\r\n2026-01-01 INFO all is well\u009b2J", age: 1 }] },
        String.raw`#3 10.0.0.7:50112 tcp Active, GET /\u000d\n2026-01-01 INFO all is well\u009b2J 1 ms, open 45.0 s`
      ]
    ])("%o", (facts, line) => {
      assert.strictEqual(DrainReport.formatConnection({ ...info, ...facts }), line)
    })

    it.each([
      [0, "0 ms"],
      [0.4, "0 ms"],
      [999.4, "999 ms"],
      [999.6, "1.0 s"],
      [1000, "1.0 s"],
      [59_900, "59.9 s"],
      [60_000, "1 min 0 s"],
      [61_999, "1 min 1 s"],
      [3_599_999, "59 min 59 s"],
      [3_600_000, "1 h 0 min"],
      [266_700_000, "74 h 5 min"]
    ])("an age of %d ms", (age, text) => {
      assert.strictEqual(DrainReport.formatConnection({ ...info, age }), `#3 10.0.0.7:50112 tcp Active, open ${text}`)
    })

    it.each([
      [1023, "1023 B"],
      [1024, "1 KiB"],
      [1024 * 1024 - 1024, "1023 KiB"],
      [1024 * 1024, "1.0 MiB"],
      [64 * 1024 * 1024, "64.0 MiB"]
    ])("%d bytes unsent", (bytesPending, text) => {
      assert.isTrue(DrainReport.formatConnection({ ...info, bytesPending }).endsWith(`open 45.0 s, ${text} unsent`))
    })
  })

  describe("JSON", () => {
    it("a report is the same through its schema and through JSON.stringify", () => {
      const text = JSON.stringify(Schema.encodeSync(json)(report))
      assert.strictEqual(text, JSON.stringify(report))
      assert.deepStrictEqual(Schema.decodeUnknownSync(json)(JSON.parse(text)), report)
    })

    it.prop("so is every report", { report: Arbitrary.schema(DrainReport.DrainReport) }, ({ report }) => {
      const text = JSON.stringify(report)
      assert.strictEqual(JSON.stringify(Schema.encodeSync(json)(report)), text)
      // compared as text: JSON writes -0 as 0
      assert.strictEqual(JSON.stringify(Schema.decodeUnknownSync(json)(JSON.parse(text))), text)

      const [first, second, ...named] = DrainReport.format(report).split("\n")
      assert.isDefined(first)
      assert.isDefined(second)
      assert.lengthOf(named, report.cut.length + report.handlersLeftBehind.length)
    }, { arbitrary: { runs: 200 } })

    it.each<[string, unknown]>([
      ["a count that is no whole number", { ...quiet, swept: 1.5 }],
      ["an endless duration", { ...quiet, duration: Infinity }],
      ["an unknown outcome", { ...quiet, outcome: "Closed" }],
      ["an unknown phase", { ...quiet, cut: [{ ...info, phase: "Open" }] }],
      ["a reason that is missing", { ...quiet, connections: { total: 0 } }]
    ])("%s is no report", (_, value) => {
      assert.isFalse(Schema.is(DrainReport.DrainReport)(value))
    })
  })
})

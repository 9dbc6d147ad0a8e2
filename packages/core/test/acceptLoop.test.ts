import { Transport } from "@effect-listener/core"
import { assert, describe, it } from "@effect/vitest"
import { againIn, counted, type Failures, noFailures } from "../src/internal/accept/acceptLoop.ts"

const error = (of: "transient" | "unknown" | "exhausted" | "fatal" | "closed"): Transport.TransportAcceptError =>
  of === "unknown"
    ? new Transport.TransportAcceptError({ class: "transient", code: "EODD", cause: "test" })
    : new Transport.TransportAcceptError({
      class: of,
      code: { transient: "ECONNABORTED", exhausted: "EMFILE", fatal: "EBADF", closed: "EBADF" }[of],
      cause: "test"
    })

const after = (...errors: ReadonlyArray<Parameters<typeof error>[0]>): Failures =>
  errors.reduce((failures, of) => counted(failures, error(of)), noFailures)

describe("an accept that failed", () => {
  it.each(
    [
      ["transient", [0, 0, 0]],
      ["unknown", [0, 0, 0]],
      ["exhausted", [5, 10, 20]],
      ["fatal", ["never", "never", "never"]],
      ["closed", ["never", "never", "never"]]
    ] as const
  )("%s once, twice, three times in a row is repeated in %j ms", (of, delays) => {
    assert.deepStrictEqual<ReadonlyArray<number | "never">>(
      [1, 2, 3].map((times) => againIn(error(of), after(...Array.from({ length: times }, () => of)))),
      delays
    )
  })

  it("that failed because resources were exhausted is repeated after a second at most", () => {
    assert.deepStrictEqual(
      [8, 9, 100].map((exhausted) => againIn(error("exhausted"), { ...noFailures, exhausted })),
      [640, 1000, 1000]
    )
  })

  it("is not repeated where its error is not known and the tenth of them in a row", () => {
    assert.strictEqual(againIn(error("unknown"), { ...noFailures, unknown: 9 }), 0)
    assert.strictEqual(againIn(error("unknown"), { ...noFailures, unknown: 10 }), "never")
  })

  it.each(
    [
      ["transient", { unknown: 0, exhausted: 0 }],
      ["unknown", { unknown: 3, exhausted: 0 }],
      ["exhausted", { unknown: 2, exhausted: 2 }]
    ] as const
  )("%s is counted with those before it", (of, failures) => {
    assert.deepStrictEqual(counted({ unknown: 2, exhausted: 1 }, error(of)), failures)
  })
})

import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as DrainReport from "../src/DrainReport.ts"
import { fromBindError, transportFailure } from "../src/internal/transport/transportErrors.ts"
import * as ListenerError from "../src/ListenerError.ts"
import { TransportBindError } from "../src/Transport.ts"
import { report, samples } from "./support/errors.ts"

type AnyError = ListenerError.ListenerError

const errors = Object.values(samples)
const at = { listener: "api", operation: "close", trail: [] }

const messages: Record<AnyError["_tag"], string> = {
  InvalidOperation:
    `open on listener "api" is not allowed in state Open. Correct the order of the calls: errors/InvalidOperation`,
  InvalidArgument:
    `open on listener "api": drain.deadline is negative (-5). Correct the option: errors/InvalidArgument`,
  OperationAborted:
    `close on listener "api" was aborted. Nothing is to be done where the abort was meant: errors/OperationAborted`,
  OperationTimedOut:
    `close on listener "api" exceeded its deadline of 20000 ms, 1 connection cut. Look at what took so long, or allow more time: errors/OperationTimedOut`,
  ListenerFaulted:
    `accept on listener "api": the listener is faulted (EBADF). Close it, and open it again: errors/ListenerFaulted`,
  QuotaExceeded:
    `open on listener "api": open files exceeded (limit 1024). Raise the limit, or try again later: errors/QuotaExceeded`,
  AddressInUse:
    `open on listener "api": 127.0.0.1:8080 is in use. Stop the program that has it, or take another address: errors/AddressInUse`,
  AddressNotAvailable:
    `open on listener "api": 192.0.2.1:8080 is not available on this machine. Correct the address: errors/AddressNotAvailable`,
  AccessDenied:
    `open on listener "api": permission denied for 0.0.0.0:80. Give the process the right, or take another address: errors/AccessDenied`,
  SecurityFailure:
    `open on listener "api": the key does not fit the certificate. Correct the key or the certificate: errors/SecurityFailure`,
  NotSupported: `open on listener "api": reusePort is not supported here. Leave the option out: errors/NotSupported`,
  TransportFailure:
    `accept on listener "api": transport failure EBADF (accept EBADF). Look at its cause: errors/TransportFailure`
}

const classes: Record<AnyError["_tag"], ListenerError.ErrorClass> = {
  InvalidOperation: "misuse",
  InvalidArgument: "misuse",
  OperationAborted: "lifetime",
  OperationTimedOut: "lifetime",
  ListenerFaulted: "lifetime",
  QuotaExceeded: "environment",
  AddressInUse: "environment",
  AddressNotAvailable: "environment",
  AccessDenied: "environment",
  SecurityFailure: "environment",
  NotSupported: "environment",
  TransportFailure: "environment"
}

const json = Schema.toCodecJson(ListenerError.ListenerError)
const encode = (error: AnyError): string => JSON.stringify(Schema.encodeSync(json)(error))
const decode = (text: string): AnyError => Schema.decodeUnknownSync(json)(JSON.parse(text))
/** Encodes an error to JSON text and back, and checks that the text says the same the second time. */
const there = (error: AnyError): AnyError => {
  const text = encode(error)
  const back = decode(text)
  assert.strictEqual(encode(back), text)
  return back
}

/** What an error says: its fields, without `cause`, which crosses as a defect and is not enumerable on an Error. */
const fields = (error: AnyError): unknown =>
  Object.fromEntries(
    Object.entries(error).map(([name, value]) => [name, ListenerError.isListenerError(value) ? fields(value) : value])
  )

describe("ListenerError", () => {
  it.each(errors)("$_tag says what happened, and where", (error) => {
    assert.strictEqual(error.message, messages[error._tag])
    assert.instanceOf(error, Error)
    assert.isTrue(ListenerError.isListenerError(error))
  })

  it("messages without what is optional", () => {
    assert.strictEqual(
      new ListenerError.OperationTimedOut({ ...at, operation: "open", deadline: Infinity }).message,
      `open on listener "api" exceeded its deadline of Infinity ms. Look at what took so long, or allow more time: errors/OperationTimedOut`
    )
    assert.strictEqual(
      new ListenerError.OperationTimedOut({ ...at, deadline: 1, report: { ...report, cut: [] } }).message,
      `close on listener "api" exceeded its deadline of 1 ms, 0 connections cut. Look at what took so long, or allow more time: errors/OperationTimedOut`
    )
    assert.strictEqual(
      new ListenerError.ListenerFaulted({ ...at, operation: "accept", reason: "Aborted" }).message,
      `accept on listener "api": the listener is faulted (aborted). Close it, and open it again: errors/ListenerFaulted`
    )
    assert.strictEqual(
      new ListenerError.TransportFailure({ ...at, cause: undefined }).message,
      `close on listener "api": transport failure. Look at its cause: errors/TransportFailure`
    )
    assert.strictEqual(
      new ListenerError.QuotaExceeded({ ...at, quota: "memory" }).message,
      `close on listener "api": memory exceeded. Raise the limit, or try again later: errors/QuotaExceeded`
    )
  })

  it("isListenerError knows only listeners' errors", () => {
    const encoded: unknown = JSON.parse(encode(samples.AddressInUse))
    for (const other of [new Error("x"), encoded, null, "AddressInUse"]) {
      assert.isFalse(ListenerError.isListenerError(other))
    }
  })

  it.each(errors)("classOf $_tag", (error) => {
    assert.strictEqual(ListenerError.classOf(error), classes[error._tag])
  })

  describe("JSON", () => {
    it.each(errors)("$_tag there and back", (error) => {
      const back = there(error)
      assert.strictEqual(back.constructor, error.constructor)
      assert.strictEqual(back.message, error.message)
      assert.deepStrictEqual(fields(back), fields(error))
    })

    it("a TransportFailure inside ListenerFaulted is one again, with its cause", () => {
      const back = there(samples.ListenerFaulted)
      assert.instanceOf(back, ListenerError.ListenerFaulted)
      assert.instanceOf(back.reason, ListenerError.TransportFailure)
      const { cause } = back.reason
      assert.instanceOf(cause, Error)
      assert.deepStrictEqual([cause.name, cause.message], ["TypeError", "accept EBADF"])
      assert.instanceOf(cause.cause, Error)
      assert.strictEqual(cause.cause.message, "the descriptor was closed")
      assert.strictEqual(
        decode(encode(new ListenerError.ListenerFaulted({ ...at, reason: "Aborted" })))._tag,
        "ListenerFaulted"
      )
    })

    it("the report inside OperationTimedOut is whole", () => {
      const back = there(samples.OperationTimedOut)
      assert.instanceOf(back, ListenerError.OperationTimedOut)
      assert.deepStrictEqual(back.report, report)
    })

    it("what is optional stays away", () => {
      const back = there(new ListenerError.OperationAborted(at))
      assert.instanceOf(back, ListenerError.OperationAborted)
      assert.isUndefined(back.report)
      assert.notInclude(encode(back), "report")
    })

    it.each([Infinity, -Infinity, NaN, 0, 0.5, Number.MAX_VALUE])("a deadline of %d ms", (deadline) => {
      const back = there(new ListenerError.OperationTimedOut({ ...at, deadline }))
      assert.instanceOf(back, ListenerError.OperationTimedOut)
      assert.isTrue(Object.is(back.deadline, deadline))
    })

    it("a number that JSON cannot carry is refused where the error is made, not where it is read", () => {
      const [cut] = report.cut
      assert.isDefined(cut)
      assert.throws(() =>
        new ListenerError.OperationTimedOut({
          ...at,
          deadline: 1,
          report: { ...report, cut: [{ ...cut, bytesPending: NaN }] }
        })
      )
      assert.throws(() => new ListenerError.QuotaExceeded({ ...at, quota: "files", limit: Infinity }))
    })

    const loop: { self?: unknown; readonly a: 1 } = { a: 1 }
    loop.self = loop
    it.each<{ what: string; cause: unknown }>([
      { what: "undefined", cause: undefined },
      { what: "null", cause: null },
      { what: "text", cause: "boom" },
      { what: "NaN", cause: NaN },
      { what: "a bigint", cause: 10n },
      { what: "a symbol", cause: Symbol("x") },
      { what: "a function", cause: () => 1 },
      { what: "a loop", cause: loop },
      { what: "a system error", cause: Object.assign(new Error("listen EACCES"), { code: "EACCES", errno: -13 }) },
      { what: "an error that is its own cause", cause: ownCause() },
      { what: "a record without prototype", cause: Object.create(null) },
      { what: "an object that no text can be made of", cause: { toString: "no function", valueOf: "no function" } },
      { what: "an error whose message is no text", cause: Object.assign(new Error(), { message: { toString: 1 } }) },
      {
        what: "an object that will not be JSON",
        cause: {
          toJSON() {
            throw new Error("no")
          }
        }
      }
    ])("whatever the cause is: $what", ({ cause }) => {
      const back = there(transportFailure({ cause }, at))
      assert.instanceOf(back, ListenerError.TransportFailure)
      assert.strictEqual(cause instanceof Error, back.cause instanceof Error)
      assert.include(ListenerError.format(back), "WS_E_OTHER")
      assert.include(
        ListenerError.format(new ListenerError.ListenerFaulted({ ...at, reason: back })),
        "WS_E_OBJECT_FAULTED"
      )
    })

    // the schema's own arbitrary gives every tag, with all that its fields allow
    it.prop("every error there is", { error: Arbitrary.schema(ListenerError.ListenerError) }, ({ error }) => {
      const back = there(error)
      assert.strictEqual(back.constructor, error.constructor)
      assert.deepStrictEqual(back.trail, error.trail)
      // and it prints in whole lines, whatever is in it
      const lines = ListenerError.format(error).split("\n")
      assert.isTrue(lines.length >= 2 + error.trail.length)
      for (const line of lines) assert.notMatch(line, /[\p{Cc}\p{Zl}\p{Zp}]/u)
    }, { arbitrary: { runs: 300 } })
  })

  describe("withTrail", () => {
    const fail = (error: AnyError): Effect.Effect<never, AnyError> => Effect.fail(error)

    it.effect.each(errors)(
      "a line before the others, on an error like the first: $_tag",
      (error) =>
        Effect.gen(function*() {
          const before = encode(error)
          const trail = [...error.trail]
          const longer = yield* fail(error).pipe(
            ListenerError.withTrail("while serving"),
            ListenerError.withTrail("while starting"),
            Effect.flip
          )
          assert.deepStrictEqual(longer.trail, ["while starting", "while serving", ...trail])

          assert.notStrictEqual(longer, error)
          assert.strictEqual(longer._tag, error._tag)
          assert.strictEqual(longer.constructor, error.constructor)
          assert.instanceOf(longer, Error)
          assert.isTrue(ListenerError.isListenerError(longer))
          assert.strictEqual(longer.message, error.message)
          assert.strictEqual(longer.name, error.name)
          assert.include(longer.stack, "errors.ts")
          assert.strictEqual(longer.stack, error.stack)
          assert.notInclude(Object.keys(longer), "stack")

          const parsed: { trail: unknown } = JSON.parse(before)
          parsed.trail = longer.trail
          assert.deepStrictEqual(JSON.parse(encode(there(longer))), parsed)

          assert.deepStrictEqual(error.trail, trail)
          assert.strictEqual(encode(error), before)
        })
    )

    it.effect("catchTag and catchTags find it by its tag", () =>
      Effect.gen(function*() {
        const failing: Effect.Effect<never, ListenerError.OpenError> = Effect.fail(samples.AddressInUse)
        const one = yield* failing.pipe(
          ListenerError.withTrail("while opening the admin port"),
          Effect.catchTag("AddressInUse", (error) => Effect.succeed([error.address, error.trail[0]]))
        )
        assert.deepStrictEqual(one, ["127.0.0.1:8080", "while opening the admin port"])

        const other = yield* failing.pipe(
          ListenerError.withTrail("x"),
          Effect.catchTags({
            AccessDenied: () => Effect.succeed("denied"),
            AddressInUse: () => Effect.succeed("in use")
          })
        )
        assert.strictEqual(other, "in use")
      }))

    it.effect("leaves everything else as it is", () =>
      Effect.gen(function*() {
        const foreign = new Error("not a listener's")
        assert.strictEqual(yield* Effect.flip(ListenerError.withTrail("x")(Effect.fail(foreign))), foreign)
        assert.strictEqual(yield* ListenerError.withTrail("x")(Effect.succeed(1)), 1)
        const died = yield* Effect.exit(ListenerError.withTrail("x")(Effect.die(samples.AddressInUse)))
        assert.deepStrictEqual(died, Exit.die(samples.AddressInUse))
      }))
  })

  describe("format", () => {
    it("what happened, code, class and meaning, then the trail", () => {
      assert.strictEqual(
        ListenerError.format(samples.InvalidArgument),
        [
          `InvalidArgument: open on listener "api": drain.deadline is negative (-5). Correct the option: errors/InvalidArgument`,
          `  0x80070057 E_INVALIDARG (misuse): an argument is invalid`,
          `  while draining`,
          `  while deploying 1.2.3`
        ].join("\n")
      )
    })

    it("a close that timed out brings its report", () => {
      assert.strictEqual(
        ListenerError.format(samples.OperationTimedOut),
        [
          `OperationTimedOut: close on listener "api" exceeded its deadline of 20000 ms, 1 connection cut. Look at what took so long, or allow more time: errors/OperationTimedOut`,
          `  0x803D0006 WS_E_OPERATION_TIMED_OUT (lifetime): the operation took longer than its time limit`,
          `  while draining`,
          `  while deploying 1.2.3`,
          ...DrainReport.format(report).split("\n").map((line) => `  ${line}`)
        ].join("\n")
      )
      assert.isTrue(
        ListenerError.format(samples.OperationAborted).endsWith(
          DrainReport.format(report).split("\n").map((line) => `  ${line}`).join("\n")
        )
      )
    })

    it("a faulted listener brings the failure that faulted it, and its cause", () => {
      assert.strictEqual(
        ListenerError.format(samples.ListenerFaulted),
        [
          `ListenerFaulted: accept on listener "api": the listener is faulted (EBADF). Close it, and open it again: errors/ListenerFaulted`,
          `  0x803D0001 WS_E_OBJECT_FAULTED (lifetime): the object is faulted and accepts no new operation`,
          `  while draining`,
          `  while deploying 1.2.3`,
          `  TransportFailure: accept on listener "api": transport failure EBADF (accept EBADF). Look at its cause: errors/TransportFailure`,
          `    0x803D0021 WS_E_OTHER (environment): the platform failed in a way that has no code of its own`,
          `    in the pump`,
          `    cause: TypeError: accept EBADF (cause: Error: the descriptor was closed)`
        ].join("\n")
      )
    })

    it("an error with nothing more to say is two lines", () => {
      const bare: ReadonlyArray<AnyError> = [
        new ListenerError.ListenerFaulted({ ...at, reason: "Aborted" }),
        new ListenerError.OperationAborted(at),
        new ListenerError.OperationTimedOut({ ...at, deadline: 1 }),
        new ListenerError.TransportFailure({ ...at, cause: undefined })
      ]
      for (const error of bare) assert.lengthOf(ListenerError.format(error).split("\n"), 2)
    })

    it("text from outside stays in its line", () => {
      const text = ListenerError.format(
        new ListenerError.AddressInUse({
          listener: "api\n2026-01-01 INFO all is well",
          operation: "open",
          trail: ["while\r\nopening \u001b[2J\u2028"],
          address: "::1"
        })
      )
      assert.lengthOf(text.split("\n"), 3)
      assert.include(text, String.raw`api\n2026-01-01 INFO all is well`)
      assert.include(text, String.raw`  while\u000d\nopening \u001b[2J\u2028`)
      const failure = transportFailure({ cause: new Error("listen\nEFOO") }, { listener: "api", operation: "open" })
      assert.lengthOf(ListenerError.format(failure).split("\n"), 3)
    })
  })

  describe("fromBindError", () => {
    const where = { listener: "api", operation: "open" }
    const cause = new Error("bind")
    it.each<{ given: TransportBindError; expected: AnyError }>([
      {
        given: TransportBindError.InvalidArgument({ parameter: "port", detail: "is not a port (-1)" }),
        expected: new ListenerError.InvalidArgument({
          ...where,
          trail: [],
          parameter: "port",
          detail: "is not a port (-1)"
        })
      },
      {
        given: TransportBindError.QuotaExceeded({ quota: "open files", limit: 10 }),
        expected: new ListenerError.QuotaExceeded({ ...where, trail: [], quota: "open files", limit: 10 })
      },
      {
        given: TransportBindError.QuotaExceeded({ quota: "open files", limit: NaN }),
        expected: new ListenerError.QuotaExceeded({ ...where, trail: [], quota: "open files" })
      },
      {
        given: TransportBindError.AddressInUse({ address: "::1" }),
        expected: new ListenerError.AddressInUse({ ...where, trail: [], address: "::1" })
      },
      {
        given: TransportBindError.AddressNotAvailable({ address: "::1" }),
        expected: new ListenerError.AddressNotAvailable({ ...where, trail: [], address: "::1" })
      },
      {
        given: TransportBindError.AccessDenied({ address: "::1" }),
        expected: new ListenerError.AccessDenied({ ...where, trail: [], address: "::1" })
      },
      {
        given: TransportBindError.SecurityFailure({ detail: "no key" }),
        expected: new ListenerError.SecurityFailure({ ...where, trail: [], detail: "no key" })
      },
      {
        given: TransportBindError.NotSupported({ feature: "reusePort" }),
        expected: new ListenerError.NotSupported({ ...where, trail: [], feature: "reusePort" })
      },
      {
        given: TransportBindError.TransportFailure({ code: "EFOO", cause }),
        expected: new ListenerError.TransportFailure({ ...where, trail: [], code: "EFOO", cause })
      },
      {
        given: TransportBindError.TransportFailure({ cause: undefined }),
        expected: new ListenerError.TransportFailure({ ...where, trail: [], cause: undefined })
      }
    ])("$given._tag: completed with the listener and the operation", ({ expected, given }) => {
      const error = fromBindError(given, where)
      assert.strictEqual(error.constructor, expected.constructor)
      assert.deepStrictEqual(fields(error), fields(expected))
      assert.strictEqual(error.cause, expected.cause)
    })

    it("foreign values cannot make a constructor throw", () => {
      // what an untyped transport may put where text is expected
      const foreign: string = JSON.parse("42")
      const error = fromBindError(TransportBindError.AddressInUse({ address: foreign }), where)
      assert.strictEqual(
        error.message,
        `open on listener "api": 42 is in use. Stop the program that has it, or take another address: errors/AddressInUse`
      )
      assert.strictEqual(transportFailure({ code: foreign, cause: 1 }, where).code, "42")
    })
  })
})

function ownCause(): Error {
  const error = new Error("loop")
  error.cause = error
  return error
}

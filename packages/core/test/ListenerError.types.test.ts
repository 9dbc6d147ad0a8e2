import { describe, expectTypeOf, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { DrainReport } from "../src/DrainReport.ts"
import * as Hresult from "../src/Hresult.ts"
import * as ListenerError from "../src/ListenerError.ts"
import type { ListenerState } from "../src/ListenerState.ts"
import type { TransportBindError } from "../src/Transport.ts"

type Tag<E> = E extends { readonly _tag: infer T } ? T : never

// the compiler is the test runner here: each of these is an error of `tsc` when it is not so
describe("the errors of each operation", () => {
  it("are exactly these unions", () => {
    expectTypeOf<ListenerError.OpenError>().toEqualTypeOf<
      | ListenerError.InvalidOperation
      | ListenerError.InvalidArgument
      | ListenerError.OperationAborted
      | ListenerError.OperationTimedOut
      | ListenerError.AddressInUse
      | ListenerError.AddressNotAvailable
      | ListenerError.AccessDenied
      | ListenerError.QuotaExceeded
      | ListenerError.SecurityFailure
      | ListenerError.NotSupported
      | ListenerError.TransportFailure
    >()
    expectTypeOf<ListenerError.ListenError>().toEqualTypeOf<
      | ListenerError.InvalidArgument
      | ListenerError.OperationTimedOut
      | ListenerError.AddressInUse
      | ListenerError.AddressNotAvailable
      | ListenerError.AccessDenied
      | ListenerError.QuotaExceeded
      | ListenerError.SecurityFailure
      | ListenerError.NotSupported
      | ListenerError.TransportFailure
    >()
    expectTypeOf<ListenerError.AcceptError>().toEqualTypeOf<
      ListenerError.InvalidOperation | ListenerError.OperationAborted | ListenerError.ListenerFaulted
    >()
    expectTypeOf<ListenerError.CloseError>().toEqualTypeOf<
      | ListenerError.InvalidOperation
      | ListenerError.InvalidArgument
      | ListenerError.OperationAborted
      | ListenerError.OperationTimedOut
    >()
    expectTypeOf<ListenerError.ListenerError>().toEqualTypeOf<
      ListenerError.OpenError | ListenerError.AcceptError | ListenerError.CloseError
    >()
  })

  it("a bind fails with the environment's tags and InvalidArgument", () => {
    expectTypeOf<Tag<TransportBindError>>().toEqualTypeOf<
      | "InvalidArgument"
      | "QuotaExceeded"
      | "AddressInUse"
      | "AddressNotAvailable"
      | "AccessDenied"
      | "SecurityFailure"
      | "NotSupported"
      | "TransportFailure"
    >()
    expectTypeOf<TransportBindError>().not.toHaveProperty("listener")
    expectTypeOf<TransportBindError>().not.toHaveProperty("operation")
  })

  it("carry these fields", () => {
    expectTypeOf<Pick<ListenerError.ListenerError, "operation" | "listener" | "trail">>().toEqualTypeOf<
      { readonly operation: string; readonly listener: string; readonly trail: ReadonlyArray<string> }
    >()
    expectTypeOf<ListenerError.InvalidOperation["state"]>().toEqualTypeOf<ListenerState>()
    expectTypeOf<ListenerError.OperationAborted["report"]>().toEqualTypeOf<DrainReport | undefined>()
    expectTypeOf<ListenerError.OperationTimedOut["report"]>().toEqualTypeOf<DrainReport | undefined>()
    expectTypeOf<ListenerError.OperationTimedOut["deadline"]>().toEqualTypeOf<number>()
    expectTypeOf<ListenerError.ListenerFaulted["reason"]>().toEqualTypeOf<
      "Aborted" | ListenerError.TransportFailure
    >()
    expectTypeOf<ListenerError.QuotaExceeded["limit"]>().toEqualTypeOf<number | undefined>()
    expectTypeOf<ListenerError.TransportFailure["code"]>().toEqualTypeOf<string | undefined>()
    expectTypeOf<ListenerError.TransportFailure["cause"]>().toEqualTypeOf<unknown>()
  })
})

describe("catchTag", () => {
  const accept: Effect.Effect<number, ListenerError.AcceptError> = Effect.succeed(1)
  const close: Effect.Effect<DrainReport, ListenerError.CloseError> = Effect.never
  const listen: Effect.Effect<void, ListenerError.ListenError> = Effect.void

  it("takes a tag out of the union", () => {
    expectTypeOf(accept.pipe(Effect.catchTag("ListenerFaulted", () => Effect.succeed(0)))).toEqualTypeOf<
      Effect.Effect<number, ListenerError.InvalidOperation | ListenerError.OperationAborted>
    >()
    expectTypeOf(close.pipe(
      Effect.catchTag(["OperationTimedOut", "OperationAborted"], (error) => Effect.succeed(error.report))
    )).toEqualTypeOf<
      Effect.Effect<DrainReport | undefined, ListenerError.InvalidOperation | ListenerError.InvalidArgument>
    >()
  })

  it("does not compile on a tag the operation cannot have", () => {
    // without its `@ts-expect-error` each line is an error of `tsc`
    const handled = [
      // @ts-expect-error an accept never times out
      Effect.catchTag(accept, "OperationTimedOut", () => Effect.succeed(0)),
      // @ts-expect-error a close never finds its address in use
      Effect.catchTag(close, "AddressInUse", () => Effect.never),
      // @ts-expect-error a close works on a faulted listener
      Effect.catchTags(close, { ListenerFaulted: () => Effect.never }),
      // @ts-expect-error nothing else can abort a listen
      Effect.catchTag(listen, "OperationAborted", () => Effect.void)
    ]
    expectTypeOf(handled).toBeArray()
  })

  it("withTrail changes no type", () => {
    expectTypeOf(accept.pipe(ListenerError.withTrail("while serving"))).toEqualTypeOf<typeof accept>()
    expectTypeOf(ListenerError.withTrail("x")(Effect.fail("other"))).toEqualTypeOf<Effect.Effect<never, string>>()
  })
})

describe("helpers", () => {
  it("take an error of any operation", () => {
    expectTypeOf(ListenerError.format).parameter(0).toEqualTypeOf<ListenerError.ListenerError>()
    expectTypeOf(ListenerError.classOf).returns.toEqualTypeOf<"misuse" | "lifetime" | "environment">()
    expectTypeOf<ListenerError.ListenerError["_tag"]>().toEqualTypeOf<Hresult.Tag>()
    expectTypeOf(Hresult.of).returns.toEqualTypeOf<number>()
    expectTypeOf<ListenerError.CloseError>().toExtend<ListenerError.ListenerError>()
  })
})

import type { Connection, DrainReport, ListenerError as Errors, Transport } from "@effect-listener/core"
import { Listener, ListenerRegistry } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, type Layer, Option, type Scope } from "effect"
import type { SocketServer } from "effect/socket"

type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false

/** Compiles only for types that are the same; what it is given is counted, so that a test asserts something. */
const same = <A, B>(equal: Equals<A, B>): boolean => equal

class Database extends Context.Service<Database, { readonly query: Effect.Effect<string> }>()("test/Database") {}

declare const listener: Listener.Listener
declare const handler: (connection: Connection.Connection) => Effect.Effect<number, "no", Scope.Scope | Database>
declare const transport: Transport.Transport

describe("types", () => {
  it("the error channel of each operation is exactly its union", () => {
    const checks = [
      same<Effect.Error<Listener.Listener["open"]>, Errors.OpenError>(true),
      same<Effect.Error<Listener.Listener["accept"]>, Errors.AcceptError>(true),
      same<Effect.Error<ReturnType<Listener.Listener["close"]>>, Errors.CloseError>(true),
      same<Effect.Error<Listener.Listener["abort"]>, never>(true),
      same<Effect.Error<Listener.Listener["reset"]>, Errors.InvalidOperation>(true),
      same<Effect.Error<Listener.Listener["address"]>, Errors.InvalidOperation>(true),
      same<Effect.Error<Listener.Listener["closed"]>, never>(true),
      same<Effect.Error<ReturnType<typeof Listener.make>>, never>(true),
      same<Effect.Error<ReturnType<typeof Listener.listen>>, Errors.ListenError>(true),
      same<Errors.ListenError & Errors.InvalidOperation, never>(true)
    ]
    assert.deepStrictEqual(checks, checks.map(() => true))
  })

  it("serve takes the handler's services but its scope, and fails only with ListenerFaulted", () => {
    const served = () => Listener.serve(listener, handler)
    const piped = () => Listener.serve(handler)(listener)
    const layer = () => Listener.layerServe(transport, handler)
    const server = () => Listener.layerSocketServer(transport)
    const checks = [
      same<ReturnType<typeof served>, Effect.Effect<DrainReport.DrainReport, Errors.ListenerFaulted, Database>>(true),
      same<ReturnType<typeof piped>, Effect.Effect<DrainReport.DrainReport, Errors.ListenerFaulted, Database>>(true),
      same<ReturnType<typeof layer>, Layer.Layer<Listener.Listener, Errors.ListenError, Database>>(true),
      same<
        ReturnType<typeof server>,
        Layer.Layer<SocketServer.SocketServer | Listener.Listener, SocketServer.SocketServerError>
      >(true)
    ]
    assert.deepStrictEqual(checks, checks.map(() => true))
  })

  it("catchTag on a tag an operation cannot have does not compile", () => {
    const impossible = () => [
      // @ts-expect-error an accept cannot time out
      Effect.catchTag(listener.accept, "OperationTimedOut", () => Effect.void),
      // @ts-expect-error a close cannot find its address in use
      Effect.catchTag(listener.close(), "AddressInUse", () => Effect.void),
      // @ts-expect-error listen cannot be aborted
      Effect.catchTag(Listener.listen(transport), "OperationAborted", () => Effect.void)
    ]
    assert.isFunction(impossible)
  })

  it("a copy of a connection, which may have lost its methods, does not compile", () => {
    const copies = (connection: Transport.TransportConnection): ReadonlyArray<Transport.TransportConnection> => [
      // @ts-expect-error what a class instance has on its prototype is not in its copy
      { ...connection, protocol: "other" },
      // @ts-expect-error nor are the others when one is given
      { ...connection, destroy: Effect.void }
    ]
    assert.isFunction(copies)
  })
})

describe("the registry of a program", () => {
  it.effect("has a listener from make until its scope closes", () =>
    Effect.gen(function*() {
      const registry = ListenerRegistry.make()
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Listener.listen(yield* MemoryTransport.make(), { name: "api" })
        assert.deepStrictEqual(registry.members().map((member) => member.name), ["api"])
        const reports = yield* registry.members()[0]!.shutdown({ reason: "SIGTERM", deadline: "1 second" })
        assert.deepStrictEqual(reports.map((report) => [report.reason, report.outcome]), [["SIGTERM", "Drained"]])
      })).pipe(Effect.provideService(ListenerRegistry.CurrentRegistry, Option.some(registry)))
      assert.deepStrictEqual(registry.members(), [])
    }))
})

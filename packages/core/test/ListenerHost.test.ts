import { DrainReport, Listener, ListenerError, ListenerHost, ListenerRegistry, Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import {
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  References,
  Schema,
  Scope,
  Stream
} from "effect"
import { TestClock } from "effect/testing"
import { echo, makeHolder } from "./support/handlers.ts"
import { quick, start, tagOf, untilStage } from "./support/listening.ts"
import { throwingLog } from "./support/logs.ts"

/** A listener in state Created that echoes, and its transport. */
const server = (name: string, options?: Listener.ListenerOptions & { readonly bindLatency?: number }) =>
  Effect.gen(function*() {
    const transport = yield* MemoryTransport.make({ bindLatency: options?.bindLatency ?? 0 })
    const listener = yield* Listener.make(transport, { name, drain: quick, ...options })
    yield* start(Effect.ignore(Listener.serve(listener, echo, { idle: "pull" })))
    return { transport, listener }
  })

/** A host that is aborted when the test ends: its drain would wait for the virtual clock. */
const hostOf = (
  listeners: ReadonlyArray<Listener.Listener>,
  options?: Parameters<typeof ListenerHost.make>[1]
) =>
  Effect.tap(
    ListenerHost.make(listeners, { ...options, drain: { ...quick, ...options?.drain } }),
    (host) => Effect.addFinalizer(() => host.abort)
  )

/** A listener whose one client has an exchange that is never ended. */
const stuck = Effect.fnUntraced(function*(name: string) {
  const transport = yield* MemoryTransport.make()
  const listener = yield* Listener.make(transport, { name, drain: quick })
  const holder = yield* makeHolder
  yield* start(Effect.ignore(Listener.serve(listener, holder.handler)))
  return {
    listener,
    transport,
    hold: Effect.gen(function*() {
      const client = yield* transport.connect
      yield* client.write("x")
      yield* holder.entered
      return client
    }),
    release: holder.release
  }
})

const statesOf = (listeners: ReadonlyArray<Listener.Listener>) =>
  Effect.forEach(listeners, (listener) => listener.state)

const refused = <A, R>(connect: Effect.Effect<A, MemoryTransport.ConnectError, R>) =>
  Effect.map(Effect.result(connect), (result) => result._tag === "Failure")

describe("opening a host", () => {
  it.effect("nothing is accepted before all are open; what arrived meanwhile is served then", () =>
    Effect.gen(function*() {
      const fast = yield* server("fast")
      const slow = yield* server("slow", { bindLatency: 1000 })
      const making = yield* start(hostOf([fast.listener, slow.listener]))
      yield* TestClock.adjust("500 millis")
      const early = yield* fast.transport.connect
      yield* early.write("hi")
      yield* TestClock.adjust("499 millis")
      assert.deepStrictEqual(yield* statesOf([fast.listener, slow.listener]), ["Opening", "Opening"])
      assert.strictEqual(yield* early.receivedText, "")
      assert.strictEqual(yield* fast.transport.queued, 1)
      yield* TestClock.adjust("1 millis")
      const host = yield* Fiber.join(making)
      assert.deepStrictEqual(yield* statesOf(yield* host.listeners), ["Open", "Open"])
      assert.strictEqual(yield* early.readText(6), "got hi")
    }))

  it.effect("when one fails none stays open: it is named, the others are Created and their addresses free", () =>
    Effect.gen(function*() {
      const network = yield* MemoryTransport.makeNetwork
      const first = yield* MemoryTransport.make({ network })
      const taken = yield* MemoryTransport.make({ network, address: first.address })
      const last = yield* MemoryTransport.make({ network })
      const listeners = yield* Effect.forEach(
        [[first, "a"], [taken, "b"], [last, "c"]] as const,
        ([transport, name]) => Listener.make(transport, { name, drain: quick })
      )
      const changes = yield* start(Stream.runCollect(listeners[0]!.changes.pipe(Stream.take(3))))
      const early = yield* start(Effect.flip(hostOf(listeners, { name: "service" })))
      const error = yield* Fiber.join(early)
      assert.instanceOf(error, ListenerError.AddressInUse)
      assert.deepStrictEqual([error.listener, error.trail], [
        "b",
        [`while opening host "service": 2 of 3, none stays open`]
      ])
      assert.deepStrictEqual(yield* statesOf(listeners), ["Created", "Created", "Created"])
      assert.deepStrictEqual(yield* Fiber.join(changes), ["Created", "Opening", "Created"])
      // they can be opened again, one by one
      yield* listeners[1]!.open
      yield* listeners[2]!.open
      assert.strictEqual(yield* listeners[1]!.state, "Open")
      yield* listeners[1]!.abort
    }))

  it.effect("options of a listener that are out of range fail it as well", () =>
    Effect.gen(function*() {
      const good = yield* server("good")
      const bad = yield* server("bad", { admission: { maxConnections: 0 } })
      const error = yield* Effect.flip(hostOf([good.listener], { admin: [bad.listener] }))
      assert.instanceOf(error, ListenerError.InvalidArgument)
      assert.deepStrictEqual([error.listener, error.parameter], ["bad", "admission.maxConnections"])
      assert.strictEqual(yield* good.listener.state, "Created")
    }))

  it.effect("a listener that is open already is not a host's to open", () =>
    Effect.gen(function*() {
      const good = yield* server("good")
      const open = yield* server("open")
      yield* open.listener.open
      const error = yield* Effect.flip(hostOf([good.listener, open.listener]))
      assert.deepStrictEqual([error._tag, error.listener], ["InvalidOperation", "open"])
      assert.deepStrictEqual(yield* statesOf([good.listener, open.listener]), ["Created", "Open"])
      yield* open.listener.abort
    }))

  it.effect("interrupting it leaves Created and free addresses", () =>
    Effect.gen(function*() {
      const fast = yield* server("fast")
      const slow = yield* server("slow", { bindLatency: 1000 })
      const making = yield* start(hostOf([fast.listener, slow.listener]))
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(making)
      assert.deepStrictEqual(yield* statesOf([fast.listener, slow.listener]), ["Created", "Created"])
      yield* fast.listener.open
      yield* fast.listener.abort
    }))

  it.effect("an abort of one while they open fails it with OperationAborted", () =>
    Effect.gen(function*() {
      const fast = yield* server("fast")
      const slow = yield* server("slow", { bindLatency: 1000 })
      const making = yield* start(Effect.flip(hostOf([fast.listener, slow.listener])))
      yield* slow.listener.abort
      const error = yield* Fiber.join(making)
      assert.deepStrictEqual([error._tag, error.listener], ["OperationAborted", "slow"])
      assert.strictEqual(yield* fast.listener.state, "Created")
    }))

  it.effect("all or none, also when one is aborted in the moment in which all open", () =>
    Effect.gen(function*() {
      let none = 0
      // a fiber that yields after every few operations passes the gate later than the other
      for (let operations = 4; operations < 16; operations++) {
        const a = yield* server("a")
        const b = yield* Effect.provideService(server("b"), References.MaxOpsBeforeYield, operations)
        yield* start(
          Stream.runForEach(a.listener.changes, (state) => state === "Open" ? b.listener.abort : Effect.void)
        )
        const made = yield* Effect.result(hostOf([a.listener, b.listener]))
        if (made._tag === "Success") continue
        none++
        assert.deepStrictEqual([made.failure._tag, made.failure.listener], ["OperationAborted", "b"])
        assert.deepStrictEqual(yield* statesOf([a.listener, b.listener]), ["Created", "Created"])
        assert.isTrue(yield* refused(a.transport.connect))
      }
      assert.isAbove(none, 0)
    }))

  it.effect.each<[string, ListenerHost.HostOptions, string]>([
    ["an infinite deadline", { drain: { deadline: Infinity } }, "drain.deadline"],
    ["a negative grace", { drain: { idleGrace: -1 } }, "drain.idleGrace"],
    ["a reserve that is none", { reserve: Number.NaN }, "reserve"],
    ["a reserve beyond the deadline", { drain: { deadline: "1 second" }, reserve: "2 seconds" }, "reserve"]
  ])("%s is InvalidArgument, and nothing is opened", ([, options, parameter]) =>
    Effect.gen(function*() {
      const { listener } = yield* server("a")
      const error = yield* Effect.flip(ListenerHost.make([listener], { name: "service", ...options }))
      assert.instanceOf(error, ListenerError.InvalidArgument)
      assert.deepStrictEqual([error.listener, error.parameter], ["service", parameter])
      assert.strictEqual(yield* listener.state, "Created")
    }))

  it.effect("two listeners of one name are InvalidArgument, which lists the names", () =>
    Effect.gen(function*() {
      const [one, other, admin] = [yield* server("api"), yield* server("api"), yield* server("admin")]
      const error = yield* Effect.flip(hostOf([one.listener, other.listener], { admin: [admin.listener] }))
      assert.deepInclude(error, { _tag: "InvalidArgument", detail: "has \"api\" twice: \"api\", \"api\", \"admin\"" })
      assert.deepStrictEqual(yield* statesOf([one.listener, other.listener, admin.listener]), [
        "Created",
        "Created",
        "Created"
      ])
    }))

  describe("of layers", () => {
    const port = (name: string) =>
      Layer.fresh(
        Layer.unwrap(
          Effect.map(
            MemoryTransport.make(),
            (transport) => Listener.layerServe(transport, echo, { name, drain: quick })
          )
        )
      )
    const built = (admin: ReadonlyArray<string>, ...names: ReadonlyArray<string>) =>
      Effect.scoped(Layer.build(ListenerHost.provide(Layer.mergeAll(port(names[0]!), ...names.slice(1).map(port)), {
        admin,
        drain: quick
      })))

    it.effect("an admin name that does not exist is InvalidArgument, which lists the names there are", () =>
      Effect.gen(function*() {
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(built(["admin"], "api", "admin"))))
        const error = yield* Effect.flip(built(["amdin"], "api", "admin"))
        assert.deepInclude(error, {
          _tag: "InvalidArgument",
          parameter: "admin",
          detail: "names \"amdin\": host \"host\" has \"api\", \"admin\""
        })
      }))

    it.effect("two listeners of one name are InvalidArgument, which lists the names there are", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(built(["admin"], "api", "admin", "api"))
        assert.deepInclude(error, { _tag: "InvalidArgument", listener: "api", parameter: "name" })
        assert.include(error.message, "\"api\", \"admin\"")
      }))
  })

  it.effect("the same listener twice is InvalidArgument", () =>
    Effect.gen(function*() {
      const { listener } = yield* server("a")
      assert.strictEqual(yield* tagOf(hostOf([listener], { admin: [listener] })), "InvalidArgument")
      assert.strictEqual(yield* listener.state, "Created")
    }))
})

describe("closing a host", () => {
  it.effect("all but admin stop at once, the clean ones end early, admin last, and the report adds up", () =>
    Effect.gen(function*() {
      const a = yield* server("a")
      const b = yield* stuck("b")
      const admin = yield* server("admin")
      const host = yield* hostOf([a.listener, b.listener], { name: "service", admin: [admin.listener] })
      yield* b.hold
      const idle = yield* a.transport.connect
      const probe = yield* admin.transport.connect
      const closing = yield* start(host.close({ reason: "deploy" }))
      yield* TestClock.adjust("1 millis")
      assert.isTrue(yield* refused(a.transport.connect))
      assert.isTrue(yield* refused(b.transport.connect))
      assert.strictEqual(yield* idle.ended, "Fin")
      yield* a.listener.closed
      assert.deepStrictEqual(yield* statesOf(yield* host.listeners), ["Closed", "Closing", "Open"])
      // admin still answers, those that are there and those that come
      yield* probe.write("ready?")
      assert.strictEqual(yield* probe.readText(10), "got ready?")
      const late = yield* admin.transport.connect
      yield* late.write("alive?")
      assert.strictEqual(yield* late.readText(10), "got alive?")
      yield* b.release
      yield* TestClock.adjust("1 millis")
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual(report.listeners.map((listener) => listener.listener), ["a", "b", "admin"])
      assert.deepStrictEqual(report.listeners.map((listener) => listener.reason), ["deploy", "deploy", "deploy"])
      assert.deepStrictEqual([report.host, report.outcome, report.duration], ["service", "Drained", 2])
      assert.strictEqual(report.totals.connections.total, 4)
      assert.deepStrictEqual([report.totals.connections.drained, report.totals.connections.idle], [1, 3])
      assert.strictEqual(yield* probe.state, "Fin")
      assert.isTrue(yield* refused(admin.transport.connect))
      const encoded = Schema.encodeUnknownSync(ListenerHost.HostReport)(report)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(encoded)), encoded)
    }))

  it.effect("one stuck among many costs one deadline, is named, and the others end well", () =>
    Effect.gen(function*() {
      const clean = yield* Effect.forEach(["a", "b", "c"], (name) => server(name))
      const bad = yield* stuck("bad")
      const admin = yield* server("admin")
      const host = yield* hostOf([...clean.map((one) => one.listener), bad.listener], {
        admin: [admin.listener],
        drain: { deadline: "20 seconds", abortGrace: "1 second" }
      })
      const client = yield* bad.hold
      const others = yield* Effect.forEach(clean, (one) => one.transport.connect)
      const closing = yield* start(Effect.flip(host.close()))
      yield* TestClock.adjust("1 millis")
      for (const other of others) assert.strictEqual(yield* other.ended, "Fin")
      // 20 s less half a second for admin and the abort grace
      yield* TestClock.adjust("18498 millis")
      assert.strictEqual(yield* client.state, "Open")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* client.state, "Reset")
      const error = yield* Fiber.join(closing)
      assert.instanceOf(error, ListenerError.OperationTimedOut)
      assert.deepStrictEqual([error.deadline, error.listener], [20_000, "host"])
      assert.deepStrictEqual(
        error.report?.cut.map((info) => [info.remote, info.exchanges[0]?.label]),
        [["127.0.0.1:50001", "hold x"]]
      )
      const report = yield* host.closed
      assert.deepStrictEqual(report.listeners.map((one) => one.outcome), [
        "Drained",
        "Drained",
        "Drained",
        "DeadlineExceeded",
        "Drained"
      ])
      assert.deepStrictEqual([report.outcome, report.duration, report.totals.cut], ["DeadlineExceeded", 18_500, 1])
      assert.deepStrictEqual(yield* host.close(), report)
    }))

  it.effect("a client that was just active on an admin listener, and keeps its side open, is not cut for lack of time", () =>
    Effect.gen(function*() {
      const api = yield* stuck("api")
      const admin = yield* server("admin", { drain: {} })
      const host = yield* ListenerHost.make([api.listener], {
        admin: [admin.listener],
        drain: { deadline: "4 seconds" }
      })
      yield* Effect.addFinalizer(() => host.abort)
      yield* api.hold
      const viewer = yield* admin.transport.connect
      yield* start(Effect.exit(host.close()))
      const closed = yield* start(host.closed)
      yield* TestClock.adjust("3690 millis")
      yield* viewer.write("hi")
      assert.strictEqual(yield* viewer.readText(6), "got hi")
      yield* TestClock.adjust("310 millis")
      const report = yield* Fiber.join(closed)
      assert.deepStrictEqual(report.listeners.map(({ outcome }) => outcome), ["DeadlineExceeded", "Drained"])
      assert.isAtMost(report.duration, 4000)
    }))

  it.effect("with handlers that will not end, on main and on admin, all is over within the deadline less the reserve", () =>
    Effect.gen(function*() {
      const deaf = Effect.fnUntraced(function*(name: string) {
        const transport = yield* MemoryTransport.make()
        const listener = yield* Listener.make(transport, { name, drain: quick })
        yield* start(Effect.ignore(Listener.serve(listener, () => Effect.uninterruptible(Effect.sleep("1 hour")))))
        return { transport, listener }
      })
      const main = yield* deaf("main")
      const admin = yield* deaf("admin")
      const host = yield* hostOf([main.listener], {
        admin: [admin.listener],
        drain: { deadline: "10 seconds", abortGrace: "1 second" },
        reserve: "4 seconds"
      })
      yield* main.transport.connect
      yield* admin.transport.connect
      const closing = yield* start(Effect.flip(host.close()))
      yield* TestClock.adjust("5999 millis")
      assert.strictEqual(yield* admin.listener.state, "Closing")
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(closing)
      assert.strictEqual(error._tag, "OperationTimedOut")
      const report = yield* host.closed
      assert.deepStrictEqual([report.duration, report.totals.handlersLeftBehind], [6000, 2])
      yield* TestClock.adjust("1 hour")
    }))

  it.effect("each listener keeps its own options, but for those that are the host's", () =>
    Effect.gen(function*() {
      const patient = yield* server("patient", { drain: { ...quick, idleGrace: "2 seconds" } })
      const hasty = yield* server("hasty", { drain: { ...quick, deadline: "1 second", idleGrace: "1 second" } })
      const touch = Effect.fnUntraced(function*(transport: MemoryTransport.MemoryTransport) {
        const client = yield* transport.connect
        yield* client.write("x")
        return client
      })
      const host = yield* ListenerHost.make([patient.listener, hasty.listener])
      yield* Effect.addFinalizer(() => host.abort)
      yield* touch(patient.transport)
      yield* touch(hasty.transport)
      const closing = yield* start(host.close())
      yield* TestClock.adjust("2 seconds")
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual(report.listeners.map((one) => [one.outcome, one.duration]), [
        ["Drained", 2000],
        ["Drained", 1000]
      ])
    }))

  it.effect("options given to close go before the host's, and those before a listener's", () =>
    Effect.gen(function*() {
      const one = yield* server("one", { drain: { ...quick, idleGrace: "5 seconds" } })
      const host = yield* hostOf([one.listener], { drain: { idleGrace: "3 seconds" } })
      const client = yield* one.transport.connect
      yield* client.write("x")
      const closing = yield* start(host.close({ idleGrace: "1 second" }))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(closing)).duration, 1000)
    }))

  describe("lame duck", () => {
    it.effect("readiness off at once, liveness on, still accepting; then all stop in the same turn", () =>
      Effect.gen(function*() {
        const a = yield* server("a")
        const b = yield* server("b")
        const admin = yield* server("admin")
        const host = yield* hostOf([a.listener, b.listener], {
          admin: [admin.listener],
          drain: { lameDuck: "1200 millis" }
        })
        assert.deepStrictEqual([yield* host.readiness, yield* host.liveness], [true, true])
        const closing = yield* start(host.close())
        assert.deepStrictEqual([yield* host.readiness, yield* host.liveness], [false, true])
        assert.isFalse(yield* a.listener.readiness)
        assert.isTrue(yield* admin.listener.readiness)
        yield* TestClock.adjust("1199 millis")
        const late = yield* b.transport.connect
        yield* late.write("hi")
        assert.strictEqual(yield* late.readText(6), "got hi")
        assert.deepStrictEqual(yield* statesOf([a.listener, b.listener]), ["Open", "Open"])
        yield* TestClock.adjust("1 millis")
        assert.isTrue(yield* refused(a.transport.connect))
        assert.isTrue(yield* refused(b.transport.connect))
        const report = yield* Fiber.join(closing)
        assert.strictEqual(report.duration, 1200)
        assert.deepStrictEqual(report.listeners.map((one) => one.duration), [1200, 1200, 0])
        assert.deepStrictEqual([yield* host.readiness, yield* host.liveness], [false, true])
      }))

    it.effect("is judged over all main listeners together, admin not among them", () =>
      Effect.gen(function*() {
        const lasts = Effect.fnUntraced(function*(busy: "a" | "b" | "admin" | undefined) {
          const servers = {
            a: yield* server("a"),
            b: yield* server("b"),
            admin: yield* server("admin")
          }
          const host = yield* hostOf([servers.a.listener, servers.b.listener], {
            admin: [servers.admin.listener],
            drain: { lameDuck: { min: "1 second", quiet: "2 seconds", max: "10 seconds" } }
          })
          const closing = yield* start(host.close())
          if (busy !== undefined) {
            yield* TestClock.adjust("1500 millis")
            yield* servers[busy].transport.connect
          }
          yield* TestClock.adjust("20 seconds")
          return (yield* Fiber.join(closing)).duration
        })
        assert.strictEqual(yield* lasts(undefined), 2000)
        assert.strictEqual(yield* lasts("a"), 3500)
        assert.strictEqual(yield* lasts("b"), 3500)
        assert.strictEqual(yield* lasts("admin"), 2000)
      }))

    it.effect("another close ends it: both get one report, the smaller deadline wins", () =>
      Effect.gen(function*() {
        const one = yield* stuck("one")
        const host = yield* hostOf([one.listener], { drain: { lameDuck: "1 hour" } })
        yield* one.hold
        const first = yield* start(Effect.flip(host.close()))
        const second = yield* start(Effect.flip(host.close({ deadline: "1 second" })))
        yield* TestClock.adjust("1 second")
        const error = yield* Fiber.join(first)
        assert.instanceOf(error, ListenerError.OperationTimedOut)
        assert.strictEqual(error.deadline, 1000)
        assert.deepStrictEqual(yield* Fiber.join(second), error)
      }))

    it.effect("is over when nothing accepts", () =>
      Effect.gen(function*() {
        const one = yield* server("one")
        const host = yield* hostOf([one.listener], { drain: { lameDuck: "1 hour" } })
        const closing = yield* start(host.close())
        yield* one.listener.close()
        assert.strictEqual((yield* Fiber.join(closing)).duration, 0)
      }))
  })

  it.effect("a second close while it drains is InvalidOperation; interrupting one stops the waiting only", () =>
    Effect.gen(function*() {
      const one = yield* stuck("one")
      const host = yield* hostOf([one.listener])
      yield* one.hold
      const closing = yield* start(host.close())
      assert.strictEqual(yield* tagOf(host.close()), "InvalidOperation")
      yield* Fiber.interrupt(closing)
      assert.strictEqual(yield* one.listener.state, "Closing")
      const joined = yield* start(host.closed)
      yield* untilStage(one.listener, "Draining")
      yield* one.release
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(joined)).totals.connections.drained, 1)
    }))

  it.effect("bad options change nothing", () =>
    Effect.gen(function*() {
      const one = yield* server("one")
      const host = yield* hostOf([one.listener], { reserve: "1 second" })
      const parameterOf = (options: Parameters<ListenerHost.ListenerHost["close"]>[0]) =>
        Effect.map(
          Effect.flip(host.close(options)),
          (error) => error._tag === "InvalidArgument" ? error.parameter : error._tag
        )
      assert.strictEqual(yield* parameterOf({ deadline: -1 }), "deadline")
      assert.strictEqual(yield* parameterOf({ deadline: "999 millis" }), "deadline")
      assert.strictEqual(yield* parameterOf({ lameDuck: Infinity }), "lameDuck")
      assert.isTrue(yield* host.readiness)
    }))

  it.effect("abort cuts all of them; the waiting close fails OperationAborted with the report", () =>
    Effect.gen(function*() {
      const one = yield* stuck("one")
      const admin = yield* stuck("admin")
      const host = yield* hostOf([one.listener], { admin: [admin.listener] })
      const clients = [yield* one.hold, yield* admin.hold]
      const closing = yield* start(Effect.flip(host.close()))
      yield* host.abort
      const error = yield* Fiber.join(closing)
      assert.instanceOf(error, ListenerError.OperationAborted)
      assert.strictEqual(error.report?.cut.length, 2)
      for (const client of clients) assert.strictEqual(yield* client.ended, "Reset")
      assert.deepStrictEqual(yield* statesOf(yield* host.listeners), ["Closed", "Closed"])
    }))

  it.effect("after an abort it is neither ready nor live, and close reports what was cut", () =>
    Effect.gen(function*() {
      const one = yield* stuck("one")
      const host = yield* hostOf([one.listener])
      yield* one.hold
      yield* host.abort
      assert.deepStrictEqual([yield* host.readiness, yield* host.liveness], [false, false])
      const report = yield* host.close()
      assert.deepStrictEqual([report.outcome, report.totals.cut], ["Aborted", 1])
    }))

  it.effect("a listener that was closed by itself keeps its report, and does not fail the host's close", () =>
    Effect.gen(function*() {
      const one = yield* stuck("one")
      const other = yield* server("other")
      const host = yield* hostOf([one.listener, other.listener])
      yield* one.hold
      const early = yield* start(Effect.flip(one.listener.close({ deadline: "1 second", reason: "alone" })))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(early))._tag, "OperationTimedOut")
      assert.isFalse(yield* host.readiness)
      const report = yield* host.close({ reason: "all" })
      assert.deepStrictEqual(report.listeners.map((listener) => listener.reason), ["alone", "all"])
      assert.strictEqual(report.outcome, "DeadlineExceeded")
    }))

  it.effect.each([["main", false], ["admin", false], ["main", true]] as const)(
    "asked for by a handler of one of its %s listeners (under a time-out: %s) it does not wait for that connection",
    ([role, underTimeOut]) =>
      Effect.gen(function*() {
        const answered = yield* Deferred.make<ListenerHost.HostReport>()
        const hosted = yield* Deferred.make<ListenerHost.ListenerHost>()
        const closer = () =>
          Effect.gen(function*() {
            const host = yield* Deferred.await(hosted)
            yield* Deferred.succeed(
              answered,
              yield* underTimeOut ? Effect.timeout(host.close(), "1 minute") : host.close()
            )
          })
        const transport = yield* MemoryTransport.make()
        const asked = yield* Listener.make(transport, { name: "asked", drain: quick })
        yield* start(Effect.ignore(Listener.serve(asked, closer)))
        const other = yield* server("other")
        const host = yield* role === "main"
          ? hostOf([asked, other.listener])
          : hostOf([other.listener], { admin: [asked] })
        yield* Deferred.succeed(hosted, host)
        yield* transport.connect
        const report = yield* Deferred.await(answered)
        assert.deepStrictEqual([report.outcome, report.totals.connections.closer], ["Drained", 1])
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(yield* transport.open, 0)
      })
  )

  it.effect("progress: stages in order, counts fall, the last element equals the report", () =>
    Effect.gen(function*() {
      const a = yield* stuck("a")
      const b = yield* server("b")
      const host = yield* hostOf([a.listener, b.listener], { name: "service", drain: { lameDuck: "1 second" } })
      yield* a.hold
      yield* b.transport.connect
      const watching = yield* start(Stream.runCollect(host.progress))
      const closing = yield* start(Effect.flip(host.close()))
      yield* TestClock.adjust("12 seconds")
      yield* Fiber.join(closing)
      const report = yield* host.closed
      const seen = yield* Fiber.join(watching)
      assert.isTrue(seen.every((progress) => progress.listener === "service"))
      const stages = seen.map((progress) => progress.stage).filter((stage, i, all) => stage !== all[i - 1])
      assert.deepStrictEqual([stages[0], ...stages.slice(-3)], ["LameDuck", "Draining", "Aborting", "Closed"])
      const draining = seen.filter((progress) => progress.stage === "Draining")
      for (const [i, { remaining }] of draining.entries()) {
        assert.isAtMost(remaining, draining[i - 1]?.remaining ?? Infinity)
      }
      const oldest = draining.at(-1)!.oldest
      assert.strictEqual(Option.getOrThrow(oldest).exchanges[0]?.label, "hold x")
      const last = seen.at(-1)!
      assert.deepStrictEqual([last.remaining, last.connections], [0, report.totals.connections.total])
      assert.deepStrictEqual(yield* Stream.runCollect(host.progress), [last])
    }))

  it.effect("format names the host, then every listener with what it cut", () =>
    Effect.gen(function*() {
      const one = yield* stuck("one")
      const host = yield* hostOf([one.listener], { name: "service" })
      yield* one.hold
      const closing = yield* start(Effect.exit(host.close({ reason: "test", deadline: "1 second" })))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      const report = yield* host.closed
      assert.deepStrictEqual(ListenerHost.format(report).split("\n"), [
        "service: deadline exceeded after 900 ms (test)",
        "  1 connection: 1 cut",
        "  one: deadline exceeded after 900 ms (test)",
        "    1 connection: 1 cut",
        `    cut ${DrainReport.formatConnection(report.listeners[0]!.cut[0]!)}`
      ])
    }))
})

describe("the health of a host", () => {
  it.effect("not ready before it has a main listener, nor when one of them is not open", () =>
    Effect.gen(function*() {
      const admin = yield* server("admin")
      const empty = yield* hostOf([], { admin: [admin.listener] })
      assert.isFalse(yield* empty.readiness)
      const a = yield* server("a")
      const b = yield* server("b")
      const host = yield* hostOf([a.listener, b.listener])
      assert.isTrue(yield* host.readiness)
      yield* b.listener.close()
      assert.deepStrictEqual([yield* host.readiness, yield* host.liveness], [false, true])
    }))

  it.effect("not live when a listening socket died, unless it is closing anyway", () =>
    Effect.gen(function*() {
      const a = yield* stuck("a")
      const admin = yield* server("admin")
      const host = yield* hostOf([a.listener], { admin: [admin.listener] })
      yield* a.hold
      yield* a.transport.fault(new Transport.TransportAcceptError({ class: "fatal", code: "EBADF", cause: "gone" }))
      assert.strictEqual(yield* a.listener.state, "Faulted")
      assert.deepStrictEqual([yield* host.readiness, yield* host.liveness], [false, false])
      const closing = yield* start(host.close())
      const fault = new Transport.TransportAcceptError({ class: "fatal", code: "EBADF", cause: "gone" })
      yield* admin.transport.fault(fault)
      assert.strictEqual(yield* admin.listener.state, "Faulted")
      assert.isTrue(yield* host.liveness)
      yield* a.release
      yield* TestClock.adjust("1 millis")
      // it drained: the fault came before this close
      assert.strictEqual((yield* Fiber.join(closing)).outcome, "Drained")
    }))
})

describe("the owner of a host", () => {
  /** The level and the first word of what is logged. */
  const logging = () => {
    const logged: Array<string> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      logged.push(`${logLevel} ${String(message).split(" ")[0]}`)
    })
    return { logged, layer: Logger.layer([logger]) }
  }

  const withRegistry = Effect.provideService(ListenerRegistry.CurrentRegistry)
  const names = (registry: ListenerRegistry.ListenerRegistry) => registry.members().map((member) => member.name)

  it.effect("it joins the registry as one member, in its listeners' place, until its scope closes", () =>
    Effect.gen(function*() {
      const registry = ListenerRegistry.make()
      const scope = yield* Scope.make()
      yield* Effect.gen(function*() {
        const a = yield* server("a")
        const lone = yield* server("lone")
        const admin = yield* server("admin")
        assert.deepStrictEqual(names(registry), ["a", "lone", "admin"])
        yield* Scope.provide(hostOf([a.listener], { name: "service", admin: [admin.listener] }), scope)
        assert.deepStrictEqual(names(registry), ["lone", "service"])
        yield* lone.listener.close()
      }).pipe(withRegistry(Option.some(registry)))
      const reports = yield* registry.members()[1]!.shutdown({ reason: "SIGTERM", deadline: "5 seconds" })
      assert.deepStrictEqual(reports.map((report) => [report.listener, report.reason]), [
        ["a", "SIGTERM"],
        ["admin", "SIGTERM"]
      ])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(names(registry), ["lone"])
    }))

  it.effect("a member's shutdown lowers the deadline, joins a close that runs, and ends a lame duck", () =>
    Effect.gen(function*() {
      const registry = ListenerRegistry.make()
      const one = yield* stuck("one")
      const host = yield* Effect.provideService(
        hostOf([one.listener], { drain: { lameDuck: "1 hour", deadline: "10 seconds" } }),
        ListenerRegistry.CurrentRegistry,
        Option.some(registry)
      )
      yield* one.hold
      const member = registry.members()[0]!
      assert.strictEqual(member.name, "host")
      const closing = yield* start(tagOf(host.close({ reason: "mine" })))
      const first = yield* start(member.shutdown({ reason: "SIGTERM", deadline: "4 seconds" }))
      yield* TestClock.adjust("1 second")
      const second = yield* start(member.shutdown({ reason: "SIGTERM", deadline: 0 }))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(closing), "OperationTimedOut")
      const reports = yield* Fiber.join(first)
      assert.deepStrictEqual(yield* Fiber.join(second), reports)
      assert.deepStrictEqual(reports.map((report) => [report.reason, report.duration]), [["mine", 1000]])
    }))

  it.effect("says one line at its end, a warning where the deadline cut something, received or not", () =>
    Effect.gen(function*() {
      const said = Effect.fnUntraced(function*(
        ask: (host: ListenerHost.ListenerHost) => Effect.Effect<unknown, unknown>
      ) {
        const { logged, layer } = logging()
        const one = yield* stuck("one")
        const host = yield* Effect.provide(
          hostOf([one.listener], { name: "service", drain: { deadline: "1 second" } }),
          layer
        )
        yield* one.hold
        const asking = yield* start(Effect.exit(ask(host)))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(asking)
        return logged
      })
      assert.deepStrictEqual(yield* said((host) => host.close()), ["Warn service:"])
      assert.deepStrictEqual(
        yield* said((host) => Effect.andThen(Effect.timeoutOption(host.close(), "1 millis"), host.closed)),
        ["Warn service:"]
      )
      assert.deepStrictEqual(yield* said((host) => Effect.timeout(host.close(), "1 millis")), ["Warn service:"])
    }))

  it.effect("the time left falls while its lame duck runs", () =>
    Effect.gen(function*() {
      const one = yield* stuck("one")
      const host = yield* hostOf([one.listener], { drain: { deadline: "2 seconds", lameDuck: "3 seconds" } })
      yield* one.hold
      yield* start(Effect.exit(host.close()))
      const left = Effect.map(
        Stream.runHead(host.progress),
        Option.match({ onNone: () => undefined, onSome: ({ stage, timeLeft }) => [stage, timeLeft] })
      )
      assert.deepStrictEqual(yield* left, ["LameDuck", 5000])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* left, ["LameDuck", 4000])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* left, ["Draining", 2000])
      yield* TestClock.adjust("2 seconds")
    }))

  it.effect.each(["a\nb", "\u001b[31mred", "", "x".repeat(201)])(
    "a name such as %j is an InvalidArgument",
    (name) =>
      Effect.gen(function*() {
        const exit = yield* Effect.flip(hostOf([], { name }))
        assert.strictEqual(exit._tag, "InvalidArgument")
        const listener = yield* Listener.make(yield* MemoryTransport.make(), { name })
        const error = yield* Effect.flip(listener.open)
        assert.strictEqual(error._tag, "InvalidArgument")
        assert.match(error.message, /name (is|has)/)
        assert.notMatch(error.message, /\p{Cc}/u)
      })
  )

  it.effect("the owner scope closes it, in its order", () =>
    Effect.gen(function*() {
      const { logged, layer } = logging()
      const one = yield* stuck("one")
      const admin = yield* server("admin")
      const scope = yield* Scope.make()
      const host = yield* Scope.provide(
        ListenerHost.make([one.listener], {
          name: "service",
          admin: [admin.listener],
          drain: { deadline: "1 second" }
        }),
        scope
      ).pipe(Effect.provide(layer))
      yield* one.hold
      const ending = yield* start(Scope.close(scope, Exit.void))
      assert.deepStrictEqual(yield* statesOf(yield* host.listeners), ["Closing", "Open"])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(ending)
      assert.deepStrictEqual(yield* statesOf(yield* host.listeners), ["Closed", "Closed"])
      assert.deepStrictEqual(logged, ["Warn service:"])
      assert.strictEqual((yield* host.closed).reason, "scope closed")
    }))

  it.effect("the reserve is kept, too, when a close is hastened", () =>
    Effect.gen(function*() {
      const registry = ListenerRegistry.make()
      const one = yield* stuck("one")
      const host = yield* Effect.provideService(
        hostOf([one.listener], { reserve: "2 seconds", drain: { abortGrace: 0 } }),
        ListenerRegistry.CurrentRegistry,
        Option.some(registry)
      )
      yield* one.hold
      const closing = yield* start(Effect.exit(host.close()))
      yield* TestClock.adjust("1 second")
      const hastened = yield* start(registry.members()[0]!.shutdown({ reason: "SIGTERM", deadline: "5 seconds" }))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(closing)
      assert.deepStrictEqual((yield* Fiber.join(hastened)).map((report) => report.duration), [4000])
    }))

  it.effect("a limit below the reserve leaves half of it to the clients", () =>
    Effect.gen(function*() {
      const registry = ListenerRegistry.make()
      const one = yield* stuck("one")
      yield* Effect.provideService(
        hostOf([one.listener], { reserve: "5 seconds", drain: { abortGrace: 0 } }),
        ListenerRegistry.CurrentRegistry,
        Option.some(registry)
      )
      yield* one.hold
      const shutting = yield* start(registry.members()[0]!.shutdown({ reason: "SIGTERM", deadline: "4 seconds" }))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual((yield* Fiber.join(shutting)).map((report) => report.duration), [2000])
    }))

  const unclosing = (what: string): ListenerRegistry.Member => ({
    name: "foreign",
    progress: Stream.never,
    shutdown: () => what === "dies" ? Effect.die("broken") : Effect.never
  })

  it.effect.each(["dies", "never ends"])(
    "a member whose shutdown %s does not keep the host from closing",
    (what) =>
      Effect.gen(function*() {
        const one = yield* server("one")
        const layer = ListenerHost.layer({ drain: { ...quick, deadline: "1 second" } })
        const context = yield* Layer.build(layer)
        const registry = Option.getOrThrow(Context.get(context, ListenerRegistry.CurrentRegistry))
        yield* Effect.provide(Listener.make(yield* MemoryTransport.make(), { name: "two" }), context)
        registry.add(unclosing(what))
        const closing = yield* start(Context.get(context, ListenerHost.ListenerHost).close())
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual((yield* Fiber.join(closing)).listeners.map((report) => report.listener), ["two"])
        assert.strictEqual(yield* one.listener.state, "Created")
      })
  )

  it.effect.each(["dies", "never ends"])(
    "a member whose shutdown %s and a logger that throws do not keep the host from closing, nor its owner",
    (what) =>
      Effect.gen(function*() {
        const owner = yield* Scope.make()
        const layer = ListenerHost.layer({ drain: { ...quick, deadline: "1 second" } })
        const context = yield* Layer.buildWithScope(layer, owner).pipe(throwingLog)
        const registry = Option.getOrThrow(Context.get(context, ListenerRegistry.CurrentRegistry))
        registry.add(unclosing(what))
        const closing = yield* start(Context.get(context, ListenerHost.ListenerHost).close())
        yield* TestClock.adjust("10 seconds")
        assert.isDefined(closing.pollUnsafe())
        const ending = yield* start(Scope.close(owner, Exit.void))
        yield* TestClock.adjust("10 seconds")
        assert.isDefined(ending.pollUnsafe())
      })
  )

  const noReports: Readonly<Record<string, ReadonlyArray<unknown> | undefined>> = {
    "no reports": undefined,
    "a report that is none": [undefined],
    "half a report": [{ listener: "foreign", outcome: "Drained" }]
  }
  for (const [what, reports] of Object.entries(noReports)) {
    it.effect(`a member whose shutdown answers with ${what} does not keep the host from its own report`, () =>
      Effect.gen(function*() {
        const owner = yield* Scope.make()
        const layer = ListenerHost.layer({ drain: { ...quick, deadline: "1 second" } })
        const context = yield* Layer.buildWithScope(layer, owner)
        const registry = Option.getOrThrow(Context.get(context, ListenerRegistry.CurrentRegistry))
        yield* Effect.provide(Listener.make(yield* MemoryTransport.make(), { name: "two" }), context)
        registry.add({
          name: "foreign",
          progress: Stream.never,
          shutdown: () => Effect.succeed(reports as ReadonlyArray<DrainReport.DrainReport>)
        })
        const closing = yield* start(Context.get(context, ListenerHost.ListenerHost).close())
        yield* TestClock.adjust("10 seconds")
        assert.isDefined(closing.pollUnsafe())
        assert.deepStrictEqual((yield* Fiber.join(closing)).listeners.map((report) => report.listener), ["two"])
        const ending = yield* start(Scope.close(owner, Exit.void))
        yield* TestClock.adjust("10 seconds")
        assert.isDefined(ending.pollUnsafe())
      }))
  }

  it.effect("its end joins a close that runs and lowers the deadline to its own", () =>
    Effect.gen(function*() {
      const one = yield* stuck("one")
      const scope = yield* Scope.make()
      const host = yield* Scope.provide(ListenerHost.make([one.listener], { drain: { deadline: "1 second" } }), scope)
      yield* one.hold
      const closing = yield* start(tagOf(host.close({ deadline: "1 hour" })))
      yield* TestClock.adjust("10 seconds")
      const ending = yield* start(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(ending)
      assert.strictEqual(yield* Fiber.join(closing), "OperationTimedOut")
    }))
})

describe("a host of layers", () => {
  class Ready extends Context.Service<Ready, true>()("test/Ready") {}

  /** A layer that serves, and says into `log` when the service its handler uses is released. */
  const serving = (name: string, log: Array<string>, transport: MemoryTransport.MemoryTransport) =>
    Listener.layerServe(transport, (connection) => Effect.andThen(Ready, echo(connection)), {
      name,
      idle: "pull",
      drain: quick
    }).pipe(
      Layer.tap((context) =>
        Effect.forkScoped(
          Effect.map(Context.get(context, Listener.Listener).closed, () => {
            log.push(`${name} closed`)
          }),
          { startImmediately: true }
        )
      ),
      Layer.provide(Layer.effect(
        Ready,
        Effect.acquireRelease(Effect.succeed(true as const), () =>
          Effect.sync(() => {
            log.push(`${name}'s service released`)
          }))
      ))
    )

  const app = Effect.gen(function*() {
    const log: Array<string> = []
    const transports = {
      api: yield* MemoryTransport.make(),
      admin: yield* MemoryTransport.make(),
      web: yield* MemoryTransport.make()
    }
    const layers = Layer.mergeAll(
      serving("admin", log, transports.admin),
      serving("api", log, transports.api),
      serving("web", log, transports.web)
    )
    return { log, transports, layers }
  })

  it.effect("takes in what is made anywhere under it, and closes it in its order", () =>
    Effect.gen(function*() {
      const { layers, log } = yield* app
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Layer.provideMerge(layers, ListenerHost.layer({ admin: ["admin"], drain: quick })),
        scope
      )
      const host = Context.get(context, ListenerHost.ListenerHost)
      assert.deepStrictEqual((yield* host.listeners).map((one) => one.name), ["api", "web", "admin"])
      assert.isTrue(yield* host.readiness)
      const report = yield* host.close()
      assert.deepStrictEqual(report.listeners.map((one) => one.listener), ["api", "web", "admin"])
      assert.deepStrictEqual(log, ["api closed", "web closed", "admin closed"])
      yield* Scope.close(scope, Exit.void)
    }))

  it.effect("provide: accepts when all is built, and closes before anything is released", () =>
    Effect.gen(function*() {
      const { layers, log, transports } = yield* app
      const building = yield* Deferred.make<ListenerHost.ListenerHost>()
      const go = yield* Deferred.make<void>()
      const slow = Layer.effectDiscard(Effect.gen(function*() {
        yield* Deferred.succeed(building, yield* ListenerHost.ListenerHost)
        yield* Deferred.await(go)
      }))
      const scope = yield* Scope.make()
      const whole = ListenerHost.provide(Layer.provideMerge(slow, layers), { admin: ["admin"], drain: quick })
      const built = yield* start(Layer.buildWithScope(whole, scope))
      const host = yield* Deferred.await(building)
      const early = yield* transports.api.connect
      yield* early.write("hi")
      const probe = yield* transports.admin.connect
      yield* probe.write("ready?")
      assert.strictEqual(yield* probe.readText(10), "got ready?")
      assert.strictEqual(yield* early.receivedText, "")
      assert.isFalse(yield* host.readiness)
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(built)
      assert.strictEqual(yield* early.readText(6), "got hi")
      assert.isTrue(yield* host.readiness)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(log.slice(0, 2).sort(), ["api closed", "web closed"])
      assert.strictEqual(log[2], "admin closed")
      assert.deepStrictEqual(log.slice(3).sort(), [
        "admin's service released",
        "api's service released",
        "web's service released"
      ])
    }))

  it.effect("provide: when a part of it fails to build, nothing has been accepted and nothing stays open", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      let served = 0
      const api = Listener.layerServe(transport, () => Effect.sync(() => served++), { name: "api", drain: quick })
      const failing = Layer.effectDiscard(Effect.gen(function*() {
        yield* Effect.forkScoped(transport.connect, { startImmediately: true })
        yield* Effect.yieldNow
        return yield* Effect.fail("no database" as const)
      }))
      const error = yield* Effect.flip(
        Effect.scoped(Layer.build(ListenerHost.provide(Layer.provideMerge(failing, api))))
      )
      assert.strictEqual(error, "no database")
      assert.strictEqual(served, 0)
      assert.strictEqual(yield* transport.open, 0)
      assert.isTrue(yield* refused(transport.connect))
    }))

  it.effect("provide: closed while it is being built, it serves what has come meanwhile", () =>
    Effect.gen(function*() {
      const { layers, transports } = yield* app
      const building = yield* Deferred.make<ListenerHost.ListenerHost>()
      const slow = Layer.effectDiscard(Effect.gen(function*() {
        yield* Deferred.succeed(building, yield* ListenerHost.ListenerHost)
        return yield* Effect.never
      }))
      const built = yield* start(
        Effect.scoped(Layer.build(ListenerHost.provide(Layer.provideMerge(slow, layers), { drain: quick })))
      )
      const host = yield* Deferred.await(building)
      const client = yield* transports.api.connect
      yield* client.write("hi")
      const report = yield* host.close()
      assert.strictEqual(yield* client.readAllText, "got hi")
      assert.strictEqual(report.totals.connections.total, 1)
      yield* Fiber.interrupt(built)
    }))

  it.effect("a listener whose own scope ends leaves it; one made while it closes is closed with it", () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(ListenerHost.layer({ drain: quick }))
      const host = Context.get(context, ListenerHost.ListenerHost)
      const under = Effect.provideContext(context)
      yield* Effect.scoped(under(server("short")))
      assert.deepStrictEqual(yield* host.listeners, [])
      const one = yield* under(stuck("one"))
      yield* one.listener.open
      yield* one.hold
      const closing = yield* start(host.close())
      const late = yield* under(server("late"))
      assert.strictEqual(yield* late.listener.state, "Closed")
      assert.strictEqual(yield* tagOf(late.listener.open), "InvalidOperation")
      yield* one.release
      yield* TestClock.adjust("1 millis")
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual(report.listeners.map((listener) => listener.listener), ["one", "late"])
      const after = yield* under(server("after"))
      assert.strictEqual(yield* after.listener.state, "Closed")
    }))

  it.effect("a host within it closes as one with the main listeners", () =>
    Effect.gen(function*() {
      const registry = ListenerRegistry.make()
      const context = yield* Effect.provideService(
        Layer.build(ListenerHost.layer({ name: "outer", drain: quick })),
        ListenerRegistry.CurrentRegistry,
        Option.some(registry)
      )
      assert.deepStrictEqual(registry.members().map((member) => member.name), ["outer"])
      const outer = Context.get(context, ListenerHost.ListenerHost)
      yield* Effect.gen(function*() {
        const a = yield* server("a")
        yield* a.listener.open
        const b = yield* server("b")
        const c = yield* server("c")
        const inner = yield* hostOf([b.listener], { name: "inner", admin: [c.listener] })
        assert.deepStrictEqual((yield* outer.listeners).map((one) => one.name), ["a"])
        const report = yield* outer.close()
        assert.deepStrictEqual(report.listeners.map((listener) => listener.listener), ["a", "b", "c"])
        assert.strictEqual((yield* inner.closed).reason, "close")
      }).pipe(Effect.provideContext(context))
    }))

  it.effect("bad options fail the layer", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(ListenerHost.layer({ reserve: "1 hour" })))
      assert.deepStrictEqual([error._tag, error.parameter], ["InvalidArgument", "reserve"])
    }))
})

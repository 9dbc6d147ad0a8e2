import { Listener, ListenerError, Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Logger, References, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { echo, makeHolder } from "./support/handlers.ts"
import { listen, listening, quick, serving, start, tagOf, untilStage } from "./support/listening.ts"

const brief = { ...quick, deadline: "1 second" } as const

describe("the lifetime of a listener", () => {
  describe("abort", () => {
    it.effect("is total: in every state it succeeds, and in Created, Faulted and Closed it changes nothing", () =>
      Effect.gen(function*() {
        const listener = yield* Listener.make(yield* MemoryTransport.make(), { drain: brief })
        yield* listener.abort
        assert.strictEqual(yield* listener.state, "Created")
        yield* listener.open
        yield* listener.abort
        assert.strictEqual(yield* listener.state, "Faulted")
        yield* listener.abort
        assert.strictEqual(yield* listener.state, "Faulted")
        yield* listener.close()
        yield* listener.abort
        assert.strictEqual(yield* listener.state, "Closed")
      }))

    it.effect("destroys connections and interrupts handlers at once, and the close that follows reports them", () =>
      Effect.gen(function*() {
        const holder = yield* makeHolder
        const { listener, transport } = yield* listening({ drain: brief })
        const serving = yield* start(Effect.flip(Listener.serve(listener, holder.handler)))
        const client = yield* transport.connect
        yield* client.write("x")
        yield* holder.entered
        yield* listener.abort
        assert.strictEqual(yield* client.ended, "Reset")
        assert.strictEqual(yield* transport.open, 0)
        assert.strictEqual((yield* Fiber.join(serving))._tag, "ListenerFaulted")
        const report = yield* listener.close()
        assert.strictEqual(report.outcome, "Aborted")
        assert.strictEqual(report.connections.cut, 1)
        assert.strictEqual(report.connections.total, 1)
        assert.deepStrictEqual(report.cut[0]?.exchanges.map((exchange) => exchange.label), ["hold x"])
        assert.deepStrictEqual(report.handlersLeftBehind, [])
      }))

    it.effect("leaves a close from Faulted waiting at most the abort grace", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        yield* start(Effect.ignore(Listener.serve(listener, () => Effect.uninterruptible(Effect.sleep("1 hour")))))
        yield* transport.connect
        yield* listener.abort
        const closing = yield* start(listener.close())
        yield* TestClock.adjust("99 millis")
        assert.strictEqual(yield* listener.state, "Closing")
        yield* TestClock.adjust("1 millis")
        const report = yield* Fiber.join(closing)
        assert.strictEqual(report.handlersLeftBehind.length, 1)
        assert.strictEqual(report.handlersLeftBehind[0]?.id, report.cut[0]?.id)
      }))

    it.effect("overtakes a close, which fails OperationAborted with the report and still ends Closed", () =>
      Effect.gen(function*() {
        const holder = yield* makeHolder
        const { listener, transport } = yield* serving(holder.handler, { drain: brief })
        const client = yield* transport.connect
        yield* client.write("x")
        yield* holder.entered
        const closing = yield* start(Effect.flip(listener.close()))
        yield* TestClock.adjust("10 millis")
        assert.strictEqual(yield* listener.state, "Closing")
        yield* listener.abort
        const error = yield* Fiber.join(closing)
        assert.instanceOf(error, ListenerError.OperationAborted)
        assert.strictEqual(error.report?.outcome, "Aborted")
        assert.strictEqual(error.report?.connections.cut, 1)
        assert.strictEqual(yield* listener.state, "Closed")
      }))

    it.effect("ends an abort grace that is running, and the close fails OperationTimedOut", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: { ...brief, abortGrace: "1 hour" } })
        yield* start(Effect.ignore(Listener.serve(listener, () => Effect.uninterruptible(Effect.sleep("2 hours")))))
        yield* transport.connect
        const closing = yield* start(Effect.flip(listener.close()))
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(yield* listener.state, "Closing")
        yield* listener.abort
        const error = yield* Fiber.join(closing)
        assert.instanceOf(error, ListenerError.OperationTimedOut)
        assert.strictEqual(error.report?.handlersLeftBehind.length, 1)
        yield* TestClock.adjust("2 hours")
      }))

    it.effect("of an open leads back to Created, and the open fails OperationAborted", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ bindLatency: "1 second" })
        const listener = yield* Listener.make(transport)
        const opening = yield* start(tagOf(listener.open))
        assert.strictEqual(yield* listener.state, "Opening")
        yield* listener.abort
        assert.strictEqual(yield* listener.state, "Created")
        assert.strictEqual(yield* Fiber.join(opening), "OperationAborted")
        const again = yield* start(listener.open)
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(again)
        assert.strictEqual(yield* listener.state, "Open")
      }))
  })

  describe("a close that began always ends in Closed", () => {
    it.effect("also when the deadline passes: OperationTimedOut within deadline plus abort grace, all named", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        yield* start(
          Listener.serve(
            listener,
            (connection) => connection.exchange("stuck", Effect.uninterruptible(Effect.sleep("1 hour")))
          )
        )
        yield* transport.connect
        const closing = yield* start(Effect.flip(listener.close({ reason: "test" })))
        yield* TestClock.adjust("1099 millis")
        assert.strictEqual(yield* listener.state, "Closing")
        yield* TestClock.adjust("1 millis")
        const error = yield* Fiber.join(closing)
        assert.instanceOf(error, ListenerError.OperationTimedOut)
        assert.strictEqual(error.deadline, 1000)
        assert.strictEqual(error.report?.outcome, "DeadlineExceeded")
        assert.strictEqual(error.report?.reason, "test")
        assert.strictEqual(error.report?.duration, 1100)
        assert.deepStrictEqual(error.report?.cut.map((info) => [info.phase, info.exchanges[0]?.label]), [
          ["Active", "stuck"]
        ])
        assert.strictEqual(error.report?.handlersLeftBehind.length, 1)
        assert.strictEqual(yield* listener.state, "Closed")
        assert.strictEqual(yield* transport.open, 0)
        yield* TestClock.adjust("1 hour")
      }))

    it.effect("InvalidArgument and InvalidOperation change nothing", () =>
      Effect.gen(function*() {
        const listener = yield* listen(yield* MemoryTransport.make(), { drain: brief })
        const error = yield* Effect.flip(listener.close({ deadline: -1 }))
        assert.instanceOf(error, ListenerError.InvalidArgument)
        assert.strictEqual(error.parameter, "deadline")
        assert.strictEqual(yield* tagOf(listener.close({ idleGrace: Number.NaN })), "InvalidArgument")
        assert.strictEqual(yield* tagOf(listener.open), "InvalidOperation")
        assert.strictEqual(yield* tagOf(listener.reset), "InvalidOperation")
        assert.strictEqual(yield* listener.state, "Open")
      }))

    it.effect("closing a listener that never opened is a report of nothing, and closing twice gives it again", () =>
      Effect.gen(function*() {
        const listener = yield* Listener.make(yield* MemoryTransport.make(), { name: "api" })
        const report = yield* listener.close({ reason: "never used" })
        assert.strictEqual(report.listener, "api")
        assert.strictEqual(report.connections.total, 0)
        assert.deepStrictEqual(yield* listener.close(), report)
        assert.strictEqual(yield* listener.state, "Closed")
      }))
  })

  describe("a failed accept never faults the listener", () => {
    it.effect("transient errors are retried inside", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        const accepting = yield* start(Effect.scoped(listener.accept))
        yield* transport.failAccept(
          new Transport.TransportAcceptError({ class: "transient", code: "ECONNABORTED", cause: "test" }),
          50
        )
        yield* transport.connect
        yield* Fiber.join(accepting)
        assert.strictEqual(yield* listener.state, "Open")
      }))

    it.effect("a listening socket that dies does: pending accepts fail ListenerFaulted with the failure", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        const accepting = yield* start(Effect.flip(Effect.scoped(listener.accept)))
        yield* transport.fault(new Transport.TransportAcceptError({ class: "fatal", code: "EBADF", cause: "gone" }))
        const error = yield* Fiber.join(accepting)
        assert.instanceOf(error, ListenerError.ListenerFaulted)
        assert.isTrue(error.reason !== "Aborted" && error.reason.code === "EBADF")
        assert.strictEqual(yield* listener.state, "Faulted")
        assert.strictEqual(yield* tagOf(Effect.scoped(listener.accept)), "ListenerFaulted")
        assert.strictEqual((yield* listener.close()).outcome, "Drained")
      }))

    it.effect("nor does a transport that throws go unnoticed: it faults the listener with what it threw", () =>
      Effect.gen(function*() {
        const memory = yield* MemoryTransport.make()
        const broken: Transport.Transport = {
          name: "broken",
          bind: Effect.map(memory.bind, (bound) => ({ ...bound, accept: Effect.die("broken") }))
        }
        const listener = yield* listen(broken, { drain: brief })
        const error = yield* Effect.flip(Effect.scoped(listener.accept))
        assert.instanceOf(error, ListenerError.ListenerFaulted)
        assert.isTrue(error.reason !== "Aborted" && error.reason.cause === "broken")
      }))

    it.effect("an unknown error ten times in a row does", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        const odd = new Transport.TransportAcceptError({ class: "transient", code: "EODD", cause: "odd" })
        const first = yield* start(Effect.scoped(listener.accept))
        yield* transport.failAccept(odd, 9)
        yield* transport.connect
        yield* Fiber.join(first)
        assert.strictEqual(yield* listener.state, "Open")
        yield* transport.failAccept(odd, 10)
        assert.deepStrictEqual(
          yield* listener.changes.pipe(Stream.takeUntil((state) => state === "Faulted"), Stream.runCollect),
          ["Open", "Faulted"]
        )
      }))

    it.effect("exhaustion backs off from 5 ms, doubling to 1 s, begun anew after a success, ended by a close", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        const full = new Transport.TransportAcceptError({ class: "exhausted", code: "EMFILE", cause: "full" })
        const accepted: Array<number> = []
        yield* start(Effect.ignore(Effect.forever(
          Effect.scoped(Effect.andThen(
            listener.accept,
            Effect.flatMap(
              Effect.clockWith((clock) => clock.currentTimeMillis),
              (now) => Effect.sync(() => accepted.push(now))
            )
          ))
        )))
        // 5 + 10 + 20 ms of waiting for three failures
        yield* transport.failAccept(full, 3)
        yield* transport.connect
        yield* TestClock.adjust("34 millis")
        assert.deepStrictEqual(accepted, [])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(accepted, [35])
        yield* transport.failAccept(full, 1)
        yield* transport.connect
        yield* TestClock.adjust("5 millis")
        assert.deepStrictEqual(accepted, [35, 40])
        yield* transport.failAccept(full, 1000)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* listener.state, "Open")
        yield* listener.close()
      }))
  })

  describe("while the sweep lasts", () => {
    const failures = [
      ["EMFILE", "exhausted", 9, "nine times in a row"],
      ["ECONNABORTED", "transient", 9, "nine times in a row"],
      ["EODD", "transient", 9, "nine times in a row"],
      // 12 of them by then, after 5 ms, 10, … 640, and three seconds
      ["EMFILE", "exhausted", 20, "and has for five seconds"]
    ] as const
    for (const [code, kind, times, how] of failures) {
      it.effect(`the queued clients are taken although accepting fails with ${code}, ${how}`, () =>
        Effect.gen(function*() {
          const { listener, transport } = yield* serving(echo, { drain: brief, idle: "pull" })
          yield* transport.failAccept(new Transport.TransportAcceptError({ class: kind, code, cause: "test" }), times)
          if (times > 10) yield* TestClock.adjust("5 seconds")
          for (let client = 0; client < 6; client++) yield* transport.connect
          const closing = yield* start(listener.close())
          yield* untilStage(listener, "Draining")
          yield* TestClock.adjust("10 millis")
          assert.strictEqual((yield* Fiber.join(closing)).connections.total, 6)
        }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))
    }

    it.effect("two of three accepts get the two queued clients, the third fails OperationAborted after the sweep", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief, memory: { latency: "10 millis" } })
        const accepts = yield* Effect.forEach(
          [1, 2, 3],
          () => start(Effect.result(Effect.scoped(Effect.as(listener.accept, "taken" as const))))
        )
        yield* start(transport.connect)
        yield* start(transport.connect)
        const closing = yield* start(listener.close())
        yield* TestClock.adjust("1 second")
        const results = yield* Effect.forEach(accepts, Fiber.join)
        const taken = results.filter((result) => result._tag === "Success").length
        const aborted = results.filter((result) =>
          result._tag === "Failure" && result.failure._tag === "OperationAborted"
        ).length
        const report = yield* Fiber.join(closing)
        assert.strictEqual(taken + aborted, 3)
        assert.strictEqual(report.connections.total, taken)
      }))

    it.effect("on a quiet port pending accepts fail OperationAborted before any connection is drained", () =>
      Effect.gen(function*() {
        const holder = yield* makeHolder
        const { listener, served, transport } = yield* serving(holder.handler, { drain: brief })
        const client = yield* transport.connect
        yield* client.write("x")
        yield* holder.entered
        yield* Fiber.interrupt(served)
        const accepts = yield* Effect.forEach([1, 2, 3], () => start(tagOf(Effect.scoped(listener.accept))))
        const closing = yield* start(listener.close())
        const tags = yield* Effect.forEach(accepts, Fiber.join)
        assert.deepStrictEqual(tags, ["OperationAborted", "OperationAborted", "OperationAborted"])
        yield* untilStage(listener, "Draining")
        yield* holder.release
        yield* TestClock.adjust("10 millis")
        assert.strictEqual((yield* Fiber.join(closing)).connections.drained, 1)
      }))
  })

  describe("interruption", () => {
    it.effect("of the fiber that waits in close stops the waiting, not the drain", () =>
      Effect.gen(function*() {
        const holder = yield* makeHolder
        const { listener, transport } = yield* serving(holder.handler, { drain: brief })
        const client = yield* transport.connect
        yield* client.write("x")
        yield* holder.entered
        const closing = yield* start(listener.close())
        yield* Fiber.interrupt(closing)
        assert.strictEqual(yield* listener.state, "Closing")
        const joined = yield* start(listener.closed)
        yield* untilStage(listener, "Draining")
        yield* holder.release
        yield* TestClock.adjust("10 millis")
        assert.strictEqual((yield* Fiber.join(joined)).connections.drained, 1)
        assert.strictEqual(yield* client.readText(10), "released x")
        assert.strictEqual(yield* client.ended, "Fin")
      }))

    it.effect("of a fiber in accept removes that waiter and leaves the order of the others", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        const order: Array<string> = []
        const waiter = (name: string) =>
          start(Effect.scoped(Effect.tap(listener.accept, () => Effect.sync(() => order.push(name)))))
        const a = yield* waiter("a")
        const b = yield* waiter("b")
        const c = yield* waiter("c")
        yield* Fiber.interrupt(a)
        yield* transport.connect
        yield* transport.connect
        yield* Fiber.join(b)
        yield* Fiber.join(c)
        assert.deepStrictEqual(order, ["b", "c"])
      }))

    it.effect("of an open leaves Created and the address free at once", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ bindLatency: "1 second" })
        const listener = yield* Listener.make(transport)
        const opening = yield* start(listener.open)
        yield* TestClock.adjust("500 millis")
        yield* Fiber.interrupt(opening)
        assert.strictEqual(yield* listener.state, "Created")
        const again = yield* start(listener.open)
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(again)
        assert.strictEqual(yield* listener.state, "Open")
      }))

    it.effect("of serve stops it taking connections, and its handlers go on", () =>
      Effect.gen(function*() {
        const holder = yield* makeHolder
        const { listener, served, transport } = yield* serving(holder.handler, { drain: brief })
        const client = yield* transport.connect
        yield* client.write("x")
        yield* holder.entered
        yield* Fiber.interrupt(served)
        yield* transport.connect
        assert.strictEqual((yield* listener.dryRun).queued, 1)
        yield* holder.release
        assert.strictEqual(yield* client.readText(10), "released x")
      }))
  })

  describe("serve", () => {
    it.effect("on Created and Opening waits for Open", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make({ bindLatency: "1 second" })
        const listener = yield* Listener.make(transport, { drain: brief })
        yield* start(Listener.serve(listener, echo))
        const opening = yield* start(listener.open)
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(opening)
        const client = yield* transport.connect
        yield* client.write("a")
        assert.strictEqual(yield* client.readText(5), "got a")
      }))

    it.effect("on Closing and Closed returns the report", () =>
      Effect.gen(function*() {
        const holder = yield* makeHolder
        const { listener, transport } = yield* listening({ drain: brief })
        const first = yield* start(Listener.serve(listener, holder.handler))
        const client = yield* transport.connect
        yield* client.write("x")
        yield* holder.entered
        const closing = yield* start(listener.close())
        const late = yield* start(Listener.serve(listener, echo))
        yield* holder.release
        yield* TestClock.adjust("10 millis")
        const report = yield* Fiber.join(closing)
        assert.deepStrictEqual(yield* Fiber.join(late), report)
        assert.deepStrictEqual(yield* Fiber.join(first), report)
        assert.deepStrictEqual(yield* Listener.serve(listener, echo), report)
      }))

    it.effect("forked just before a close serves what is queued", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        const client = yield* transport.connect
        yield* client.write("hi")
        const serving = yield* Effect.forkScoped(Listener.serve(listener, echo, { idle: "pull" }))
        const report = yield* listener.close()
        assert.strictEqual(yield* client.readText(6), "got hi")
        assert.deepInclude(report.connections, { total: 1, neverAccepted: 0 })
        assert.strictEqual(yield* Fiber.join(serving), report)
      }))

    it.effect("belongs to one life: reset forgets it", () =>
      Effect.gen(function*() {
        const { listener, served, transport } = yield* serving(echo, { drain: brief })
        yield* listener.close()
        yield* Fiber.join(served)
        yield* listener.reset
        assert.strictEqual(yield* listener.state, "Created")
        yield* listener.open
        yield* transport.connect
        assert.strictEqual((yield* listener.dryRun).queued, 1)
      }))

    it.effect("twice at the same time shares the queue first come first served", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        const served: Array<string> = []
        const handler = (name: string) => () => Effect.andThen(Effect.sync(() => served.push(name)), Effect.never)
        yield* start(Listener.serve(listener, handler("a")))
        yield* start(Listener.serve(listener, handler("b")))
        for (let i = 0; i < 4; i++) yield* transport.connect
        assert.deepStrictEqual(served, ["a", "b", "a", "b"])
      }))

    it.effect("a handler that fails or dies ends its own connection only", () =>
      Effect.gen(function*() {
        const { transport } = yield* serving((connection) =>
          connection.id === 1
            ? Effect.andThen(Effect.fail("no"), echo(connection))
            : connection.id === 2
            ? Effect.andThen(Effect.die("no"), echo(connection))
            : echo(connection), { drain: brief })
        const failing = yield* transport.connect
        const dying = yield* transport.connect
        const client = yield* transport.connect
        assert.strictEqual(yield* failing.ended, "Fin")
        assert.strictEqual(yield* dying.ended, "Fin")
        yield* client.write("still")
        assert.strictEqual(yield* client.readText(9), "got still")
      }))
  })

  describe("a handler that closes its own listener", () => {
    const closer = (
      listener: Listener.Listener,
      how: (listener: Listener.Listener) => Effect.Effect<unknown, unknown>
    ) =>
      Effect.gen(function*() {
        const result = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
        yield* start(Effect.ignore(Listener.serve(listener, () =>
          Effect.flatMap(Effect.exit(how(listener)), (exit) =>
            Effect.andThen(Deferred.succeed(result, exit), Effect.never)))))
        return result
      })

    it.effect("does not wait for itself, is counted closer, and is gone at most the abort grace later", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        const result = yield* closer(listener, (listener) => listener.close())
        const client = yield* transport.connect
        const exit = yield* Deferred.await(result)
        assert.isTrue(Exit.isSuccess(exit))
        const report = yield* listener.closed
        assert.strictEqual(report.outcome, "Drained")
        assert.strictEqual(report.connections.closer, 1)
        assert.strictEqual(report.connections.total, 1)
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(yield* client.ended, "Reset")
        assert.strictEqual(yield* transport.open, 0)
      }))

    it.effect("is told draining like any other", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        const told = yield* Deferred.make<string>()
        yield* start(Listener.serve(listener, (connection) =>
          listener.close().pipe(
            Effect.andThen(connection.draining),
            Effect.andThen(Deferred.succeed(told, "draining"))
          )))
        yield* transport.connect
        const waiting = yield* start(Deferred.await(told))
        yield* TestClock.adjust("100 millis")
        assert.deepStrictEqual(waiting.pollUnsafe(), Exit.succeed("draining"))
      }))

    it.effect("waiting in closed does not wait for itself either", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        const result = yield* closer(listener, (listener) => listener.closed)
        yield* transport.connect
        const report = yield* listener.close()
        assert.strictEqual(report.connections.closer, 1)
        assert.isTrue(Exit.isSuccess(yield* Deferred.await(result)))
        yield* TestClock.adjust("100 millis")
      }))

    it.effect("nor does the fiber whose accept returned a connection", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        yield* transport.connect
        yield* listener.accept
        const report = yield* listener.close()
        assert.strictEqual(report.outcome, "Drained")
        assert.strictEqual(report.connections.closer, 1)
        yield* TestClock.adjust("100 millis")
      }))
  })

  describe("the log line of a close that was not clean", () => {
    const unclean = Effect.fnUntraced(function*(end: (listener: Listener.Listener) => Effect.Effect<unknown, unknown>) {
      const lines: Array<string> = []
      const logger = Logger.make(({ fiber, logLevel }) => {
        if (fiber.getRef(References.CurrentLogAnnotations)["event"] === "close") lines.push(logLevel)
      })
      yield* Effect.scoped(Effect.gen(function*() {
        const listener = yield* Listener.listen(yield* MemoryTransport.make(), { drain: brief })
        yield* listener.abort
        yield* end(listener)
      })).pipe(Effect.provide(Logger.layer([logger])))
      return lines
    })

    it.effect("is information where a caller received the report, also when it was over at once", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* unclean((listener) => listener.close()), ["Info"])
      }))

    it.effect("is a warning when no caller received the report", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* unclean(() => Effect.void), ["Warn"])
      }))

    it.effect.each(["its scope", "shutdown"] as const)(
      "is a warning, too, when %s waited for it",
      (by) =>
        Effect.gen(function*() {
          const lines: Array<string> = []
          const logger = Logger.make(({ fiber, logLevel }) => {
            if (fiber.getRef(References.CurrentLogAnnotations)["event"] === "close") lines.push(logLevel)
          })
          const ending = yield* start(
            Effect.scoped(Effect.gen(function*() {
              const transport = yield* MemoryTransport.make()
              const listener = yield* Listener.listen(transport, { drain: brief })
              yield* start(Effect.ignore(Listener.serve(listener, () => Effect.never)))
              yield* transport.connect
              if (by === "shutdown") yield* Listener.shutdown(listener, "test")
            })).pipe(Effect.provide(Logger.layer([logger])))
          )
          yield* TestClock.adjust("1 minute")
          yield* Fiber.join(ending)
          assert.deepStrictEqual(lines, ["Warn"])
        })
    )
  })

  describe("the owner scope", () => {
    it.effect("drains with the configured deadline, and then open and reset are InvalidOperation", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const holder = yield* makeHolder
        const scope = yield* Scope.make()
        const listener = yield* Scope.provide(Listener.listen(transport, { drain: brief }), scope)
        yield* start(Listener.serve(listener, holder.handler))
        const client = yield* transport.connect
        yield* client.write("x")
        yield* holder.entered
        const ending = yield* start(Scope.close(scope, Exit.void))
        assert.strictEqual(yield* listener.state, "Closing")
        yield* holder.release
        yield* TestClock.adjust("10 millis")
        yield* Fiber.join(ending)
        assert.strictEqual(yield* client.readText(10), "released x")
        assert.strictEqual(yield* listener.state, "Closed")
        assert.strictEqual(yield* tagOf(listener.reset), "InvalidOperation")
        assert.strictEqual(yield* tagOf(listener.open), "InvalidOperation")
      }))

    it.effect("shortens a longer drain that runs to its own deadline", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const holder = yield* makeHolder
        const scope = yield* Scope.make()
        const listener = yield* Scope.provide(Listener.listen(transport, { drain: brief }), scope)
        yield* start(Listener.serve(listener, holder.handler))
        const client = yield* transport.connect
        yield* client.write("x")
        yield* holder.entered
        const closing = yield* start(tagOf(listener.close({ deadline: "1 hour" })))
        yield* TestClock.adjust("10 seconds")
        const ending = yield* start(Scope.close(scope, Exit.void))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(ending)
        assert.strictEqual(yield* Fiber.join(closing), "OperationTimedOut")
        assert.strictEqual(yield* listener.state, "Closed")
      }))

    it.effect("brings Opening, Open, Faulted, Closing and Created to Closed", () =>
      Effect.gen(function*() {
        const end = (lead: (listener: Listener.Listener) => Effect.Effect<unknown, unknown>) =>
          Effect.gen(function*() {
            const transport = yield* MemoryTransport.make({ bindLatency: "1 millis" })
            const scope = yield* Scope.make()
            const listener = yield* Scope.provide(Listener.make(transport, { drain: brief }), scope)
            yield* start(Effect.ignore(lead(listener)))
            yield* TestClock.adjust("1 second")
            yield* Scope.close(scope, Exit.void)
            assert.strictEqual(yield* transport.open, 0)
            return yield* listener.state
          })
        assert.strictEqual(yield* end(() => Effect.void), "Closed")
        assert.strictEqual(yield* end((listener) => Effect.delay(listener.open, "1 second")), "Closed")
        assert.strictEqual(yield* end((listener) => listener.open), "Closed")
        assert.strictEqual(yield* end((listener) => Effect.andThen(listener.open, listener.abort)), "Closed")
        assert.strictEqual(yield* end((listener) => Effect.andThen(listener.open, listener.close())), "Closed")
      }))

    it.effect("ends changes, which has each change once", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const listener = yield* Scope.provide(Listener.make(yield* MemoryTransport.make(), { drain: brief }), scope)
        const changes = yield* start(Stream.runCollect(listener.changes))
        yield* listener.open
        yield* listener.close()
        yield* listener.reset
        yield* listener.open
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* Fiber.join(changes), [
          "Created",
          "Opening",
          "Open",
          "Closing",
          "Closed",
          "Created",
          "Opening",
          "Open",
          "Closing",
          "Closed"
        ])
      }))
  })

  it.effect("options are checked by open, with the parameter named, and nothing changes", () =>
    Effect.gen(function*() {
      const parameterOf = (options: Listener.ListenerOptions) =>
        Effect.gen(function*() {
          const listener = yield* Listener.make(yield* MemoryTransport.make(), options)
          const error = yield* Effect.flip(listener.open)
          assert.strictEqual(yield* listener.state, "Created")
          return error._tag === "InvalidArgument" ? error.parameter : error._tag
        })
      assert.strictEqual(yield* parameterOf({ drain: { deadline: Infinity } }), "drain.deadline")
      assert.strictEqual(yield* parameterOf({ drain: { linger: { bytes: -1 } } }), "drain.linger.bytes")
      assert.strictEqual(yield* parameterOf({ admission: { maxConnections: 0 } }), "admission.maxConnections")
      assert.strictEqual(yield* parameterOf({ timeouts: { handshake: -5 } }), "timeouts.handshake")
    }))
})

import { Listener } from "@effect-listener/core/Listener"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServer } from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { selfSigned } from "./support/certificates.ts"
import * as ClientsDuringBlock from "./support/clientsDuringBlock.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import * as HttpServing from "./support/httpServing.ts"
import { many, start, timed, until, untilStage } from "./support/listening.ts"

const fin = { ending: "FIN", partial: false }

/** An application that answers each path when it is let, and notes which ones it has executed. */
const makeGate = Effect.sync(() => {
  const executed: Array<string> = []
  const gates = new Map<string, Deferred.Deferred<void>>()
  const gate = (path: string) => {
    let found = gates.get(path)
    if (found === undefined) gates.set(path, found = Deferred.makeUnsafe())
    return found
  }
  return {
    executed,
    release: (...paths: ReadonlyArray<string>) =>
      Effect.sync(() => {
        for (const path of paths) Deferred.doneUnsafe(gate(path), Effect.void)
      }),
    app: Effect.gen(function*() {
      const { url } = yield* HttpServerRequest.HttpServerRequest
      executed.push(url)
      yield* Effect.interruptible(Deferred.await(gate(url)))
      return HttpServerResponse.text(url)
    })
  }
})

const closing = (serving: HttpServing.Serving, options?: Parameters<HttpServing.Serving["listener"]["close"]>[0]) =>
  Effect.gen(function*() {
    const fiber = yield* start(serving.listener.close(options))
    yield* untilStage(serving.listener, "Draining")
    return fiber
  })

const route = (
  path: `/${string}`,
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest>
) => HttpRouter.add("*", path, handler)

const ok = HttpServerResponse.text("ok")

describe.each([["http", undefined], ["https", selfSigned()]] as const)(
  "requests in a drain, over %s",
  (_scheme, pair) => {
    const serve = <E>(
      httpApp: Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        E,
        HttpServerRequest.HttpServerRequest | Scope.Scope
      >,
      options: Partial<NodeHttp.ServerOptions> = {}
    ) => HttpServing.app(httpApp, { ...options, tls: pair })
    const connect = (port: number, options?: HttpPeer.Options) =>
      HttpPeer.connect(port, { ...options, tls: pair !== undefined })

    it.live("three pipelined ones are answered, the last with the goodbye; what comes after it is never executed", () =>
      Effect.gen(function*() {
        const gate = yield* makeGate
        const serving = yield* serve(gate.app)
        const peer = yield* connect(serving.port)
        yield* peer.send(["/1", "/2", "/3"].map((path) => HttpPeer.get(path)).join(""))
        yield* until("three are executed", () => gate.executed.length === 3)
        const closed = yield* closing(serving)
        // not in order: the answers still are
        yield* gate.release("/3", "/2", "/1")
        const [first, second, third] = [yield* peer.response, yield* peer.response, yield* peer.response]
        assert.deepStrictEqual([first.body, second.body, third.body], ["/1", "/2", "/3"])
        assert.deepStrictEqual(
          [first, second, third].map(({ headers }) => headers["connection"]),
          ["keep-alive", "keep-alive", "close"]
        )
        yield* peer.send(HttpPeer.get("/4"))
        assert.deepStrictEqual(yield* peer.rest, fin)
        yield* until("the fourth was read", () => peer.socket.writableLength === 0)
        peer.socket.end()
        const report = yield* Fiber.join(closed)
        assert.deepStrictEqual(gate.executed, ["/1", "/2", "/3"])
        assert.deepInclude(report.connections, { total: 1, drained: 1 })
        assert.strictEqual(report.refused, 1)
      }))

    it.live("one that is pipelined while the drain waits takes over the goodbye", () =>
      Effect.gen(function*() {
        const gate = yield* makeGate
        const serving = yield* serve(gate.app)
        const peer = yield* connect(serving.port)
        yield* peer.send(HttpPeer.get("/1"))
        yield* until("the first is executed", () => gate.executed.length === 1)
        const closed = yield* closing(serving)
        yield* peer.send(HttpPeer.get("/2"))
        yield* until("the second is executed", () => gate.executed.length === 2)
        yield* gate.release("/1", "/2")
        assert.strictEqual((yield* peer.response).headers["connection"], "keep-alive")
        assert.strictEqual((yield* peer.response).headers["connection"], "close")
        assert.strictEqual((yield* Fiber.join(closed)).outcome, "Drained")
      }))

    it.live("one that is pipelined behind a goodbye that is being sent is not executed", () =>
      Effect.gen(function*() {
        const gate = yield* makeGate
        const serving = yield* serve(
          Effect.gen(function*() {
            const request = yield* HttpServerRequest.HttpServerRequest
            gate.executed.push(`head ${request.url}`)
            const end = Effect.provideService(gate.app, HttpServerRequest.HttpServerRequest, request)
            const body = Stream.concat(Stream.make("a"), Stream.fromEffect(Effect.as(end, "b")))
            return HttpServerResponse.stream(Stream.encodeText(body))
          }),
          { drain: { idleGrace: "5 seconds" } }
        )
        const peer = yield* connect(serving.port)
        const early = yield* connect(serving.port)
        yield* early.send(HttpPeer.get("/early"))
        yield* early.head
        const closed = yield* closing(serving)
        // within the grace
        yield* peer.send(HttpPeer.get("/1"))
        assert.strictEqual((yield* peer.head).headers["connection"], "close")
        yield* peer.sendAll(HttpPeer.get("/2"))
        const asked = HttpPeer.get("/1").length + HttpPeer.get("/2").length
        yield* until(
          "the second was read",
          () => Effect.runSync(serving.listener.connections).some(({ bytesIn }) => bytesIn === asked)
        )
        yield* gate.release("/1", "/early")
        assert.strictEqual((yield* peer.response).body, "ab")
        // it had its head before the drain: it may be asked once more
        assert.strictEqual((yield* early.response).headers["connection"], "keep-alive")
        yield* gate.release("/late")
        yield* early.send(HttpPeer.get("/late"))
        assert.strictEqual((yield* early.response).headers["connection"], "close")
        const report = yield* Fiber.join(closed)
        assert.strictEqual(report.refused, 1)
        assert.notInclude(gate.executed, "head /2")
      }))

    it.live("an idle connection that was active just before has the grace, then it is ended", () =>
      Effect.gen(function*() {
        const serving = yield* serve(Effect.succeed(ok), { drain: { idleGrace: "3 seconds" } })
        const [asking, silent] = [yield* connect(serving.port), yield* connect(serving.port)]
        yield* Effect.all([asking.get("/"), silent.get("/")])
        const closed = yield* closing(serving)
        assert.strictEqual((yield* asking.get("/")).headers["connection"], "close")
        assert.deepStrictEqual([yield* asking.rest, yield* silent.rest], [fin, fin])
        const report = yield* Fiber.join(closed)
        assert.isAtLeast(report.duration, 1000)
        assert.deepInclude(report.connections, { total: 2, idle: 2 })
      }))

    it.live("a silent connection that says something only after its goodbye is not heard", () =>
      Effect.gen(function*() {
        const gate = yield* makeGate
        const serving = yield* serve(gate.app, { drain: { idleGrace: 0 } })
        const peer = yield* connect(serving.port)
        yield* until("it was accepted", () => Effect.runSync(serving.listener.connections).length === 1)
        const closed = yield* closing(serving)
        assert.deepStrictEqual(yield* peer.rest, fin)
        yield* peer.sendAll(HttpPeer.get("/late"))
        const report = yield* Fiber.join(closed)
        assert.deepStrictEqual(gate.executed, [])
        assert.deepStrictEqual([report.connections.idle, report.refused], [1, 1])
      }))

    it.live("an answer that breaks off is counted as failed", () =>
      Effect.gen(function*() {
        const gate = yield* makeGate
        const serving = yield* serve(Effect.gen(function*() {
          const request = yield* HttpServerRequest.HttpServerRequest
          const wait = Effect.provideService(gate.app, HttpServerRequest.HttpServerRequest, request)
          const body = Stream.concat(Stream.make("a"), Stream.fromEffect(Effect.andThen(wait, Effect.die("as asked"))))
          return HttpServerResponse.stream(Stream.encodeText(body))
        }))
        const peer = yield* connect(serving.port)
        yield* peer.send(HttpPeer.get("/"))
        yield* peer.head
        const closed = yield* closing(serving)
        yield* gate.release("/")
        assert.isTrue((yield* peer.rest).partial)
        assert.deepInclude((yield* Fiber.join(closed)).connections, { total: 1, failed: 1 })
      }))

    it.live("HTTP/1.0, HEAD, 204 and 304 are what they are without a drain", () =>
      Effect.gen(function*() {
        const gate = yield* makeGate
        const statuses: Record<string, HttpServerResponse.HttpServerResponse> = {
          "/204": HttpServerResponse.empty({ status: 204 }),
          "/304": HttpServerResponse.empty({ status: 304 })
        }
        const serving = yield* serve(
          Effect.map(
            Effect.andThen(gate.app, HttpServerRequest.HttpServerRequest),
            ({ url }) => statuses[url] ?? HttpServerResponse.text("body")
          )
        )
        const old = yield* connect(serving.port)
        yield* old.send("GET /old HTTP/1.0\r\n\r\n")
        const head = yield* connect(serving.port, { headOnly: true })
        yield* head.send("HEAD /head HTTP/1.1\r\nHost: test\r\n\r\n")
        const noContent = yield* connect(serving.port)
        yield* noContent.send(HttpPeer.get("/204"))
        const notModified = yield* connect(serving.port)
        yield* notModified.send(HttpPeer.get("/304"))
        yield* until("four are executed", () => gate.executed.length === 4)
        const closed = yield* closing(serving)
        yield* gate.release("/old", "/head", "/204", "/304")
        for (
          const [peer, status, length] of [[old, 200, 4], [head, 200, 0], [noContent, 204, 0], [
            notModified,
            304,
            0
          ]] as const
        ) {
          const response = yield* peer.response
          assert.deepStrictEqual([response.status, response.length, response.headers["connection"]], [
            status,
            length,
            "close"
          ])
          assert.deepStrictEqual(yield* peer.rest, fin)
        }
        assert.deepInclude((yield* Fiber.join(closed)).connections, { drained: 4 })
      }))

    it.live("a chunked upload with trailers is read whole", () =>
      Effect.gen(function*() {
        const begun = yield* Deferred.make<void>()
        const serving = yield* serve(Effect.gen(function*() {
          const request = yield* HttpServerRequest.HttpServerRequest
          yield* Deferred.succeed(begun, undefined)
          const body = yield* request.text
          const { trailers } = NodeHttpServerRequest.toIncomingMessage(request)
          return HttpServerResponse.text(`${body} ${String(trailers["x-sum"])}`)
        }))
        const peer = yield* connect(serving.port)
        yield* peer.send(
          "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n"
        )
        yield* Deferred.await(begun)
        const closed = yield* closing(serving)
        yield* peer.send("3\r\ndef\r\n0\r\nX-Sum: 42\r\n\r\n")
        const { body, headers } = yield* peer.response
        assert.deepStrictEqual([body, headers["connection"]], ["abcdef 42", "close"])
        yield* Fiber.join(closed)
      }))

    it.live("a stream of events that listens to draining ends with its own last word", () =>
      Effect.gen(function*() {
        const serving = yield* serve(Effect.gen(function*() {
          const { draining } = Option.getOrThrow(yield* NodeHttp.connection)
          const events = Stream.fromSchedule(Schedule.spaced("20 millis")).pipe(
            Stream.interruptWhen(draining),
            Stream.map((tick) => `data: ${tick}\n\n`),
            Stream.concat(Stream.make("event: bye\n\n")),
            Stream.encodeText
          )
          return HttpServerResponse.stream(events, { contentType: "text/event-stream" })
        }))
        const peer = yield* connect(serving.port)
        yield* peer.send(HttpPeer.get("/"))
        yield* peer.head
        const report = yield* serving.listener.close()
        assert.match((yield* peer.response).body, /^data: 0\n\n[^]*event: bye\n\n$/)
        assert.isBelow(report.duration, 3000)
        assert.deepInclude(report.connections, { drained: 1 })
      }))

    it.live("work of a handler's own is waited for while it is an exchange of the connection", () =>
      Effect.gen(function*() {
        const gate = yield* Deferred.make<void>()
        const serving = yield* serve(Effect.gen(function*() {
          const connection = Option.getOrThrow(yield* NodeHttp.connection)
          yield* Effect.forkDetach(connection.exchange("after the answer", Deferred.await(gate)))
          return ok
        }))
        const peer = yield* connect(serving.port)
        yield* peer.get("/")
        const closed = yield* closing(serving, { idleGrace: 0 })
        const [info] = yield* serving.listener.connections
        assert.deepStrictEqual(info?.exchanges.map(({ label }) => label), ["after the answer"])
        assert.isUndefined(closed.pollUnsafe())
        yield* Deferred.succeed(gate, undefined)
        assert.deepInclude((yield* Fiber.join(closed)).connections, { drained: 1 })
      }))
  }
)

describe("a drain in which idle connections do not linger", () => {
  const slowly = { drain: { deadline: "1 minute", idleGrace: 0, linger: { idle: "10 seconds" } } } as const

  it.live("does not wait for the clients of idle ones, and lingers with what was in flight", () =>
    Effect.gen(function*() {
      const gate = yield* makeGate
      const serving = yield* HttpServing.app(gate.app, slowly)
      // they keep their side open, whatever comes
      const [idle, busy] = [yield* HttpPeer.connect(serving.port), yield* HttpPeer.connect(serving.port)]
      yield* gate.release("/idle")
      yield* idle.get("/idle")
      yield* busy.send(HttpPeer.get("/busy"))
      yield* until("it is executed", () => gate.executed.includes("/busy"))
      const open = () => Effect.runSync(serving.listener.connections).map(({ phase }) => phase)
      const closed = yield* closing(serving, { linger: "none" })
      assert.deepStrictEqual(yield* idle.rest, fin)
      yield* until("the idle one is gone", () => open().length === 1)
      yield* gate.release("/busy")
      assert.strictEqual((yield* busy.response).headers["connection"], "close")
      yield* until("the other lingers", () => open().join() === "Lingering")
      busy.socket.end()
      const report = yield* Fiber.join(closed)
      assert.isBelow(report.duration, 8000)
      assert.deepInclude(report.connections, { total: 2, idle: 1, drained: 1 })
    }))

  it.live("serves a request that had arrived and was not read", () =>
    Effect.gen(function*() {
      const serving = yield* HttpServing.app(Effect.succeed(ok), { drain: { ...slowly.drain, linger: "none" } })
      const peers = yield* many(20, HttpPeer.connect(serving.port))
      yield* Effect.forEach(peers, (peer) => peer.get("/"))
      yield* Effect.forEach(peers, (peer) => peer.send(HttpPeer.get("/")))
      const closed = yield* start(serving.listener.close())
      for (const peer of peers) {
        assert.strictEqual((yield* peer.response).body, "ok")
        peer.socket.end()
      }
      assert.deepInclude((yield* Fiber.join(closed)).connections, { total: 20, cut: 0, failed: 0 })
    }))
})

describe("handlers", () => {
  it.live("one that does not let itself be interrupted is left behind and named", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const serving = yield* HttpServing.routes(route(
        "/",
        Effect.uninterruptible(Effect.as(Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(gate)), ok))
      ))
      const peer = yield* HttpPeer.connect(serving.port)
      yield* peer.send(HttpPeer.get("/"))
      yield* Deferred.await(begun)
      const error = yield* Effect.flip(serving.listener.close({ deadline: 200, abortGrace: 200 }))
      assert.strictEqual(error._tag, "OperationTimedOut")
      const report = error._tag === "OperationTimedOut" ? error.report : undefined
      assert.deepStrictEqual(
        report?.handlersLeftBehind.map(({ exchanges }) => exchanges.map(({ label }) => label)),
        [["GET /"]]
      )
      yield* Deferred.succeed(gate, undefined)
    }))

  it.live("an application without a router, which nothing can interrupt, does not make its scope hang", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const application = Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
      const { listener, port } = yield* Scope.provide(
        HttpServing.app(application, { drain: { deadline: 100, abortGrace: 100 } }),
        scope
      )
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(HttpPeer.get("/"))
      yield* Deferred.await(begun)
      const [, took] = yield* timed(Scope.close(scope, Exit.void))
      assert.isBelow(took, 200 + 2000)
      const { cut, handlersLeftBehind } = yield* listener.closed
      assert.deepStrictEqual([cut.length, handlersLeftBehind.length, yield* peer.ending], [1, 1, "ECONNRESET"])
    }))

  it.live("what one does after its answer is waited for, and interrupted at the deadline", () =>
    Effect.gen(function*() {
      let interrupted = 0
      const after = Effect.onInterrupt(Effect.interruptible(Effect.never), () => Effect.sync(() => interrupted++))
      const services = yield* Layer.build(NodeHttp.layerServer({ host: "127.0.0.1", port: 0 }))
      const listener = Context.get(services, Listener)
      const server = Context.get(services, HttpServer)
      yield* server.serve(Effect.succeed(ok), (handled) => Effect.tap(handled, () => after))
      const peer = yield* HttpPeer.connect(NetAddress.isInetAddress(server.address) ? server.address.port : 0)
      assert.strictEqual((yield* peer.get("/after")).status, 200)
      const error = yield* Effect.flip(listener.close({ deadline: 700, idleGrace: 0, abortGrace: 100 }))
      assert.strictEqual(error._tag, "OperationTimedOut")
      const report = error._tag === "OperationTimedOut" ? error.report : undefined
      assert.deepStrictEqual(report?.cut.map(({ exchanges }) => exchanges[0]?.label), ["GET /after"])
      assert.deepStrictEqual([report?.handlersLeftBehind.length, interrupted], [0, 1])
    }))

  it.live.each([false, true])(
    "one that closes its own listener (under a time-out: %s) is answered for, and not waited for",
    (underTimeOut) =>
      Effect.gen(function*() {
        const serving: HttpServing.Serving = yield* HttpServing.routes(route(
          "/shutdown",
          Effect.suspend(() => {
            const close = serving.listener.close({ deadline: "10 minutes" })
            return Effect.map(
              Effect.orDie(underTimeOut ? Effect.timeout(close, "10 minutes") : close),
              ({ connections }) => HttpServerResponse.text(`closer ${connections.closer}`)
            )
          })
        ))
        const peer = yield* HttpPeer.connect(serving.port)
        assert.strictEqual((yield* peer.get("/shutdown")).body, "closer 1")
      })
  )

  it.live.each([["/slow", "/shutdown"], ["/shutdown", "/slow"]])(
    "one that closes its own listener waits for another of its connection: %s, %s",
    (paths) =>
      Effect.gen(function*() {
        const gate = yield* makeGate
        const serving: HttpServing.Serving = yield* HttpServing.app(Effect.gen(function*() {
          const { url } = yield* HttpServerRequest.HttpServerRequest
          if (url !== "/shutdown") return yield* gate.app
          const { connections } = yield* Effect.orDie(serving.listener.close())
          return HttpServerResponse.text(`closer ${connections.closer}`)
        }))
        const peer = yield* HttpPeer.connect(serving.port)
        yield* peer.send(paths.map((path) => HttpPeer.get(path)).join(""))
        yield* untilStage(serving.listener, "Draining")
        yield* gate.release("/slow")
        for (const path of paths) {
          assert.strictEqual((yield* peer.response).body, path === "/slow" ? path : "closer 1")
        }
      })
  )

  it.live("what they use is released after them", () =>
    Effect.gen(function*() {
      const [begun, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      let released = false
      const service = Layer.effectDiscard(Effect.addFinalizer(() =>
        Effect.sync(() => {
          released = true
        })
      ))
      const answer = Effect.gen(function*() {
        yield* Deferred.succeed(begun, undefined)
        yield* Deferred.await(gate)
        return HttpServerResponse.text(released ? "too late" : "in time")
      })
      const scope = yield* Scope.make()
      const served = HttpServing.routes(Layer.provide(route("/", answer), service))
      const serving = yield* Scope.provide(served, scope)
      const peer = yield* HttpPeer.connect(serving.port)
      yield* peer.send(HttpPeer.get("/"))
      yield* Deferred.await(begun)
      const closed = yield* start(Scope.close(scope, Exit.void))
      yield* untilStage(serving.listener, "Draining")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(closed)
      const { body, headers } = yield* peer.response
      assert.deepStrictEqual([body, headers["connection"], released], ["in time", "close", true])
    }))

  it.live("clients that the kernel had accepted when their scope closes are served", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { port } = yield* Scope.provide(HttpServing.routes(route("/", Effect.succeed(ok))), scope)
      const crowd = yield* ClientsDuringBlock.make({ host: "127.0.0.1", port }, {
        clients: 20,
        request: HttpPeer.get("/")
      })
      yield* Effect.suspend(() => {
        crowd.arriveWhileBlocked()
        return Scope.close(scope, Exit.void)
      })
      const members = yield* crowd.members
      assert.deepStrictEqual(
        members.map(({ ending, text }) => [ending, text.split("\r\n").at(-1)]),
        Array(20).fill(["FIN", "ok"])
      )
    }))
})

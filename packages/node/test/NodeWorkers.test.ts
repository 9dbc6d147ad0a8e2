import * as NodeWorkers from "@effect-listener/node/NodeWorkers"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Fs from "node:fs"
import * as Net from "node:net"
import { holdSockets } from "../src/internal/workers/heldSockets.ts"
import { resolve } from "../src/internal/workers/options.ts"
import { Supervisor } from "../src/internal/workers/supervisor.ts"
import * as BusyClients from "./support/busyClients.ts"
import { until } from "./support/listening.ts"
import * as Process from "./support/process.ts"
import { Sessions } from "./support/tlsSessions.ts"
import * as Workers from "./support/workers.ts"

describe("a replacement", { tags: ["bound-sockets"] }, () => {
  it.live("SIGHUP replaces, too, and a signal meanwhile joins", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tcp", { workers: 1 })
      const before = yield* supervisor.pids
      const replacing = yield* Effect.forkChild(supervisor.replace("SIGHUP"), { startImmediately: true })
      yield* supervisor.line(({ what }) => what === "Started")
      yield* supervisor.program.signal("SIGUSR2")
      const report = yield* Fiber.join(replacing)
      assert.deepStrictEqual(report.replaced.map(({ worker }) => worker.pid), [...before])
      const closed = yield* supervisor.end()
      // two processes: the second signal has replaced nothing
      assert.strictEqual(closed.processes, 2)
    }))

  it.live("an option that dies when it is told is logged, and changes nothing", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tcp", { workers: 1, hooks: "die" })
      const failed = (option: string) =>
        supervisor.program.stderr((line) => line.includes(`the option ${option} failed`) ? true : undefined)
      for (let i = 0; i < 2; i++) yield* supervisor.replace()
      yield* failed("onReplaced")
      assert.strictEqual((yield* supervisor.end()).processes, 3)
      yield* failed("onClosed")
    }))

  it.live("what fails half-way leaves what was replaced, says so, and the next one ends it", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tcp")
      // of two that are started at once, either can be the first to accept
      const [first, second] = (yield* supervisor.inspection).workers!.workers.toSorted((a, b) => a.since - b.since)
      const stop = yield* BusyClients.start("tcp", supervisor.target, { clients: 4, fresh: "all" })
      const replacing = yield* Effect.forkChild(supervisor.replace(), { startImmediately: true })
      // the first successor has read how to behave; the second one ends
      yield* supervisor.line(({ what }) => what === "Started")
      yield* supervisor.behave("exit")
      const half = yield* Fiber.join(replacing)
      assert.deepStrictEqual(half.replaced.map(({ worker }) => worker.pid), [first!.pid])
      assert.deepStrictEqual(half.left.map(({ pid }) => pid), [second!.pid])
      assert.deepStrictEqual([half.failure?.reason, half.failure?.slot], ["Exited", second!.slot])
      assert.match(half.failure?.detail ?? "", /ended with code 3/)
      assert.sameMembers([...yield* supervisor.pids], [half.replaced[0]!.by!, second!.pid])

      yield* supervisor.behave("serve")
      const whole = yield* supervisor.replace()
      assert.isNull(whole.failure)
      // what was left goes first
      assert.deepStrictEqual(whole.replaced.map(({ worker }) => worker.pid), [second!.pid, half.replaced[0]!.by!])
      assert.deepStrictEqual(BusyClients.lost(yield* stop), {})
      yield* supervisor.end()
    }))

  it.live("a successor that does not get ready in time is killed, and the old one stays", () =>
    Effect.gen(function*() {
      // also the first worker is held to it, on a machine that has other work
      const supervisor = yield* Workers.start("tcp", { workers: 1, readyMillis: 15_000 })
      const before = yield* supervisor.pids
      yield* supervisor.behave("hang")
      const report = yield* supervisor.replace()
      assert.strictEqual(report.failure?.reason, "TimedOut")
      assert.isFalse(Workers.isAlive(report.failure?.pid ?? 0))
      assert.deepStrictEqual(yield* supervisor.pids, before)
      yield* supervisor.end()
    }))
})

describe("what a worker says of itself", { tags: ["bound-sockets"] }, () => {
  it.live("a metric that throws and a member that dies take no worker: it is asked, serves on, and ends at a close", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tcp", { workers: 1, behaviour: "broken" })
      assert.notInclude(yield* supervisor.metrics, "broken")
      const { workers } = yield* supervisor.inspection
      assert.deepStrictEqual(
        workers?.workers.map(({ answers, listeners }) => [answers, listeners.map(({ name }) => name)]),
        [[true, ["tcp"]]]
      )
      const closed = yield* supervisor.end()
      assert.strictEqual(closed.processes, 1)
      assert.deepStrictEqual(closed.workers.map(({ code, signal }) => [code, signal]), [[0, null]])
    }))
})

describe("crashes", { tags: ["bound-sockets"] }, () => {
  it.live("one of two is killed: there are two again, and none is refused", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tcp")
      const stop = yield* BusyClients.start("tcp", supervisor.target, { fresh: "all" })
      const [first, second] = yield* supervisor.pids
      process.kill(first!, "SIGKILL")
      const next = yield* supervisor.line(({ pid, what }) => what === "Accepting" && pid !== first && pid !== second)
      assert.deepStrictEqual([next.slot, next.generation], [0, 0])
      assert.deepStrictEqual(yield* supervisor.pids, [next.pid, second!])
      const { hung, refused } = yield* stop
      assert.deepStrictEqual({ hung, refused }, { hung: 0, refused: 0 })
      yield* supervisor.end()
    }))

  it.live("all are killed at once: none is refused, none hangs", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tcp")
      const stop = yield* BusyClients.start("tcp", supervisor.target, { fresh: "all" })
      const pids = yield* supervisor.pids
      for (const pid of pids) process.kill(pid, "SIGKILL")
      for (const slot of [0, 1]) {
        yield* supervisor.line((line) => line.what === "Accepting" && line.slot === slot && !pids.includes(line.pid))
      }
      const { hung, refused } = yield* stop
      assert.deepStrictEqual({ hung, refused }, { hung: 0, refused: 0 })
      yield* supervisor.end()
    }))

  it.live("a worker that crashes at each start is started ever more seldom, and the other one goes on", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tcp")
      const [first, second] = yield* supervisor.pids
      yield* supervisor.behave("exit")
      process.kill(first!, "SIGKILL")
      const starts: Array<number> = []
      for (let i = 1; i <= 4; i++) {
        let seen = 0
        const started = yield* supervisor.line(({ pid, slot, what }) =>
          what === "Started" && slot === 0 && pid !== first && ++seen === i
        )
        starts.push(started.at)
      }
      // after 200, 400, 800 and 1600 ms, and the life of the one before is longer than a start can be told late
      assert.isAtLeast(starts[2]! - starts[1]!, 800)
      assert.isAtLeast(starts[3]! - starts[2]!, 1600)
      assert.include(yield* supervisor.pids, second!)
      yield* supervisor.behave("serve")
      yield* supervisor.line(({ pid, slot, what }) => what === "Accepting" && slot === 0 && pid !== first)
      const { workers } = yield* supervisor.inspection
      assert.isAtLeast(workers?.workers[0]?.restarts ?? 0, 4)
      assert.strictEqual(workers?.workers[1]?.restarts, 0)
      yield* supervisor.end()
    }))

  it.live("a first start that fails is the end, with code 1 and the reason", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.flip(Workers.start("tcp", { behaviour: "exit" }))
      assert.match(exit.message, /ended with 1/)
      assert.match(exit.message, /make on workers: worker \d of generation 0 \(process \d+\) ended with code 3/)
    }))

  it.live("a supervisor that is killed takes its workers with it, also one that still loads", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tcp")
      const pids = yield* supervisor.pids
      yield* supervisor.behave("load")
      yield* supervisor.program.signal("SIGUSR2")
      const loading = yield* supervisor.line(({ generation, what }) => what === "Started" && generation === 1)
      // what a client has begun is answered
      const client = Net.connect({ ...supervisor.target as { port: number } })
      const answer = new Promise<string>((resolve) => client.once("data", (data) => resolve(data.toString())))
      client.write("?")
      yield* Effect.promise(() => new Promise((resolve) => client.once("connect", resolve)))
      yield* supervisor.program.signal("SIGKILL")
      client.write("\n")
      assert.include(pids, Number(yield* Effect.promise(() => answer)))
      client.destroy()
      yield* until("the workers have ended", () => !pids.some(Workers.isAlive))
      assert.isTrue(Workers.isAlive(loading.pid))
      yield* supervisor.loaded
      yield* until("the one that loaded has ended", () => !Workers.isAlive(loading.pid))
    }))
})

describe("the close of all", { tags: ["bound-sockets"] }, () => {
  it.live("the file of a Unix socket is the same one throughout, and gone in the end", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("unix", { workers: 1 })
      const { path } = supervisor.target as { readonly path: string }
      const { ino, mode } = Fs.statSync(path)
      assert.strictEqual(mode & 0o777, 0o600)
      yield* supervisor.replace()
      assert.strictEqual(Fs.statSync(path).ino, ino)
      const [pid] = yield* supervisor.pids
      process.kill(pid!, "SIGKILL")
      yield* supervisor.line((line) => line.what === "Crashed")
      assert.strictEqual(Fs.statSync(path).ino, ino)
      yield* supervisor.end()
      assert.isFalse(Fs.existsSync(path))
    }))

  it.live("what a deadline cuts in a worker is named, and the code is 124", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tcp", { workers: 1, drainMillis: 300 })
      const client = Net.connect({ ...supervisor.target as { port: number } })
      yield* Effect.addFinalizer(() => Effect.sync(() => client.destroy()))
      client.on("error", () => {})
      client.write("never\n")
      yield* Effect.promise(() => new Promise((resolve) => client.once("data", resolve)))
      const report = yield* supervisor.end(124)
      assert.strictEqual(report.outcome, "DeadlineExceeded")
      assert.strictEqual(report.totals.connections.cut, 1)
      assert.strictEqual(report.workers[0]?.listeners[0]?.cut[0]?.exchanges[0]?.label, "never")
      assert.strictEqual(report.workers[0]?.code, 124)
    }))
})

describe("the admin port of all", { tags: ["bound-sockets"] }, () => {
  it.live("shows each worker's listeners, sums their metrics, and is ready while one accepts", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("http")
      const seen = yield* supervisor.inspection
      assert.deepStrictEqual([seen.ready, seen.live, seen.workers?.size], [true, true, 2])
      assert.deepStrictEqual(
        seen.workers?.workers.map(({ generation, listeners, slot, state }) => ({
          slot,
          generation,
          state,
          listeners: listeners.map(({ address, name }) => ({ address, name }))
        })),
        [0, 1].map((slot) => ({
          slot,
          generation: 0,
          state: "Accepting",
          listeners: [{ name: "http", address: seen.workers!.workers[0]!.listeners[0]!.address }]
        }))
      )
      assert.strictEqual(yield* supervisor.status("/livez"), 200)
      assert.strictEqual(yield* supervisor.status("/readyz"), 200)
      assert.match(
        yield* supervisor.metrics,
        /# TYPE listener_connections_accepted_total counter\nlistener_connections_accepted_total\{worker="0",listener="http"\} 0\nlistener_connections_accepted_total\{worker="1",listener="http"\} 0\n/
      )
      // one that stands still is shown, without its listeners
      const [first] = yield* supervisor.pids
      process.kill(first!, "SIGSTOP")
      const stopped = yield* supervisor.inspection
      assert.deepStrictEqual(stopped.workers?.workers.map(({ answers }) => answers), [false, true])
      process.kill(first!, "SIGCONT")
      yield* supervisor.end()
    }))
})

describe("make", { tags: ["bound-sockets"] }, () => {
  const program = new URL("programs/worker.ts", import.meta.url)
  const env = () => ({ KIND: "tcp", BEHAVIOUR: "serve" })
  const sockets = { service: { host: "127.0.0.1", port: 0 } }
  const options = { program, env, sockets, workers: 1, execArgv: [] }

  it.live("scales, replaces and closes", () =>
    Effect.gen(function*() {
      const workers = yield* NodeWorkers.make(options)
      assert.isTrue(NodeWorkers.isNodeWorkers(workers))
      const [first] = yield* workers.workers
      assert.deepStrictEqual([first?.slot, first?.state, first?.generation, first?.restarts], [0, "Accepting", 0, 0])
      yield* workers.scale(2)
      assert.deepStrictEqual((yield* workers.workers).map(({ slot, state }) => [slot, state]), [[0, "Accepting"], [
        1,
        "Accepting"
      ]])
      yield* workers.scale(1)
      assert.deepStrictEqual(yield* workers.workers, [first!])
      const refused = yield* Effect.flip(workers.scale(0))
      assert.deepStrictEqual([refused._tag, refused.failure.reason], ["WorkerFailed", "Refused"])
      const { replaced } = yield* workers.replace
      assert.strictEqual(replaced[0]?.worker.pid, first?.pid)
      const report = yield* workers.close({ reason: "enough" })
      assert.deepStrictEqual([report.reason, report.outcome, report.processes], ["enough", "Drained", 3])
      assert.deepStrictEqual(yield* workers.close(), report)
      assert.deepStrictEqual(yield* workers.workers, [])
      const closed = yield* Effect.flip(workers.replace)
      assert.strictEqual(closed.failure.reason, "Closing")
    }))

  const thrown = (): never => {
    throw new Error("no schedule today")
  }

  it.live.each<[string, Schedule.Schedule<unknown>]>([
    ["as it begins", Schedule.fromStep(Effect.sync(thrown))],
    ["at a step", Schedule.fromStep(Effect.succeed(thrown))],
    ["in a step", Schedule.fromStep(Effect.succeed(() => Effect.sync(thrown)))],
    ["that cannot begin at once", Schedule.fromStep(Effect.never)]
  ])("a schedule of restarts that throws has ended: %s", ([, restart]) =>
    Effect.gen(function*() {
      const workers = yield* NodeWorkers.make({ ...options, restart })
      const [first] = yield* workers.workers
      process.kill(first!.pid, "SIGKILL")
      const closed = yield* workers.closed
      assert.strictEqual(closed.processes, 1)
      assert.strictEqual((yield* Effect.flip(workers.replace)).failure.reason, "Closing")
    }))

  it.live("a socket that dies as it is released keeps no close from its end, and the others are released", () =>
    Effect.gen(function*() {
      const held = yield* holdSockets({ one: sockets.service, other: sockets.service })
      const [one, other] = held
      let released = false
      const supervisor = new Supervisor(
        yield* Effect.fromResult(
          resolve(
            { ...options, env: () => ({ KIND: "tcp", BEHAVIOUR: "exit" }) },
            (fields) => new NodeWorkers.WorkerFailed(fields)
          )
        ),
        [
          { ...one!, release: Effect.andThen(one!.release, Effect.die(new Error("no release today"))) },
          { ...other!, release: Effect.andThen(other!.release, Effect.sync(() => released = true)) }
        ],
        Context.empty()
      )
      const error = yield* Effect.flip(supervisor.open)
      assert.strictEqual(error.failure.reason, "Exited")
      assert.isTrue(released)
      assert.strictEqual((yield* Deferred.await(supervisor.closed)).processes, 1)
    }))

  it.live("the scope closes what is left", () =>
    Effect.gen(function*() {
      const pids = yield* Effect.scoped(Effect.gen(function*() {
        const workers = yield* NodeWorkers.make(options)
        return (yield* workers.workers).map(({ pid }) => pid)
      }))
      assert.deepStrictEqual(pids.filter(Workers.isAlive), [])
    }))

  it.live("two start at once: the later one says that the address is in use", () =>
    Effect.gen(function*() {
      const { addresses } = yield* NodeWorkers.make(options)
      const { service } = addresses
      const port = service?._tag === "UnixPathAddress" ? 0 : service?.port ?? 0
      const error = yield* Effect.flip(
        NodeWorkers.make({ ...options, sockets: { service: { host: "127.0.0.1", port } } })
      )
      assert.strictEqual(error._tag, "AddressInUse")
    }))

  it.live.each<[string, Partial<NodeWorkers.Options>, RegExp]>([
    ["no workers", { workers: 0 }, /workers is neither "cores" nor a whole number of at least 1 \(0\)/],
    ["half a worker", { workers: 1.5 }, /workers is neither "cores" nor/],
    ["no sockets", { sockets: {} }, /sockets names no socket/],
    ["no concurrency", { replaceConcurrency: 0 }, /replaceConcurrency/],
    ["no time", { readyWithin: Number.NaN }, /readyWithin/],
    ["an endless deadline", { drain: { deadline: Infinity } }, /drain.deadline/],
    ["a port there is none of", { sockets: { a: { port: 70_000 } } }, /port expected an integer from 0 to 65535/],
    ["a socket that was not inherited", { sockets: { a: { inherit: "http" } } }, /inherited socket "http"/],
    [
      "a host that is none of ours",
      { sockets: { a: { port: 0, host: "192.0.2.1" } } },
      /not available on this machine/
    ],
    [
      "an IPv6 host that is none of ours",
      { sockets: { a: { port: 4000, host: "2001:db8::1" } } },
      /\[2001:db8::1\]:4000 is not available on this machine/
    ],
    ["a directory that is not there", { sockets: { a: { path: "/nowhere/a" } } }, /not available/],
    ["a program that is not there", { program: "/nowhere/a.js" }, /ended with code 1/],
    ["a directory to run in that is not there", { cwd: "/nowhere" }, /could not be started/]
  ])("%s", ([, changes, expected]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(NodeWorkers.make({ ...options, ...changes }))
      assert.match(error.message, expected)
    }))

  it.live("an environment that throws is a worker that could not be started", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(NodeWorkers.make({
        ...options,
        env: () => {
          throw new Error("no environment")
        }
      }))
      assert.strictEqual(error._tag, "WorkerFailed")
      assert.match(error.message, /could not be started: no environment/)
    }))
})

describe("TLS sessions", { tags: ["bound-sockets"] }, () => {
  it.live("are resumed over two workers, and over a replacement", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tls")
      const sessions = new Sessions(supervisor.target)
      // the first has nothing to resume
      yield* Effect.promise(() => sessions.connect(21))
      const before = sessions.answeredBy.size
      yield* supervisor.replace()
      yield* Effect.promise(() => sessions.connect(20))
      assert.deepStrictEqual([sessions.resumed, sessions.connected], [40, 41])
      assert.isAbove(sessions.answeredBy.size, before)
      yield* supervisor.end()
    }))
})

describe("a worker alone", () => {
  it.live("binds for itself", () =>
    Effect.gen(function*() {
      const alone = yield* Process.start(new URL("programs/worker.ts", import.meta.url), {
        env: { KIND: "tcp", BEHAVIOUR: "serve" }
      })
      yield* alone.stderr((line) => line.includes("is open at 127.0.0.1") ? line : undefined)
      yield* alone.signal("SIGTERM")
      assert.strictEqual((yield* alone.exit).code, 0)
    }))
})

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Handover from "./support/handover.ts"
import * as Relentless from "./support/relentless.ts"

/** Runs a command as process 1 of its own processes. */
const ownProcesses = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"] as const

/** Long enough for some processes to start on a machine that has other work. */
const slow = 300_000

describe("a successor that does not take over", { tags: ["bound-sockets"] }, () => {
  const cases = [
    ["exit", "Exited"],
    ["hang", "TimedOut"],
    ["nonsense", "Refused"],
    ["early", "Refused"],
    ["twice", "Refused"],
    ["silent", "Exited"],
    ["prepared, then exit", "Exited"],
    ["prepared, then hang", "TimedOut"],
    ["listens, then dies", "Exited"],
    ["accepts twice", "Refused"]
  ] as const

  it.live("leaves its predecessor as it was, and nothing else; the next one takes over", () =>
    Effect.gen(function*() {
      const service = yield* Handover.start("http")
      const clients = yield* Relentless.start(service.target, 4)
      yield* clients.more(20)
      for (const [index, [mode, reason]] of cases.entries()) {
        yield* service.next({
          program: Handover.badSuccessor.pathname,
          env: { MISBEHAVE: mode },
          ...reason === "TimedOut" ? { readyWithin: "3 seconds" } : {}
        })
        yield* service.signal(service.first, "SIGUSR2")
        const bad = yield* service.process.stdout((line) => {
          const event = JSON.parse(line)
          return event.event === "bad" && event.mode === mode ? event as { readonly pid: number } : undefined
        })
        assert.strictEqual(yield* service.failed(index + 1), reason, mode)
        assert.isFalse(Handover.runs(bad.pid), `${mode}: its process is left`)
        yield* clients.more(20)
      }
      // one that listened and died may have taken a client with it, and no other
      const before = { ...Relentless.lost(clients.counts) }
      assert.isAtMost(before.reset + before.unanswered, 4)
      assert.strictEqual(before.refused + before.hung, 0)
      assert.deepStrictEqual(Array.from(clients.counts.by), [String(service.first)])
      yield* service.next({})
      const pids = yield* Handover.handOver(service, 1)
      yield* clients.answeredBy(pids[1]!)
      assert.deepStrictEqual(Relentless.lost(yield* clients.stop), before)
    }), slow)

  it.live("leaves no descriptor behind", () =>
    Effect.gen(function*() {
      const service = yield* Handover.start("http")
      const attempt = (count: number) =>
        Effect.gen(function*() {
          yield* service.next({ program: Handover.badSuccessor.pathname, env: { MISBEHAVE: "twice" } })
          yield* service.signal(service.first, "SIGUSR2")
          yield* service.failed(count)
        })
      // the first loads what it takes
      yield* attempt(1)
      const before = Handover.descriptors(service.first)
      yield* attempt(2)
      yield* attempt(3)
      assert.strictEqual(Handover.descriptors(service.first), before)
    }), slow)

  it.live("is rolled back when it is found wanting, and closes what it has accepted", () =>
    Effect.gen(function*() {
      const service = yield* Handover.start("http")
      const clients = yield* Relentless.start(service.target, 4)
      yield* service.next({ sick: true })
      yield* service.signal(service.first, "SIGUSR2")
      const { pid } = yield* service.generation(1)
      assert.strictEqual(yield* service.failed(1), "Refused")
      assert.isFalse(Handover.runs(pid))
      yield* clients.more(20)
      assert.deepStrictEqual(Relentless.lost(yield* clients.stop), Relentless.none)
    }), slow)

  it.live.each(["never", "dies"])(
    "is not started while a member cannot say what it has, and the next is asked: %s",
    (member) =>
      Effect.gen(function*() {
        const service = yield* Handover.start("http", { env: { MEMBER: member } })
        for (const count of [1, 2]) {
          yield* service.signal(service.first, "SIGUSR2")
          assert.strictEqual(yield* service.failed(count), "Refused")
        }
      }),
    slow
  )

  it.live("is not started where there is no such program", () =>
    Effect.gen(function*() {
      const service = yield* Handover.start("http")
      yield* service.next({ cwd: "/no/such/folder" })
      yield* service.signal(service.first, "SIGUSR2")
      assert.strictEqual(yield* service.failed(1), "Spawn")
    }), slow)
})

describe("a hand-over", { tags: ["bound-sockets"] }, () => {
  it.live("is one at a time", () =>
    Effect.gen(function*() {
      const service = yield* Handover.start("http")
      yield* service.next({
        program: Handover.badSuccessor.pathname,
        env: { MISBEHAVE: "hang" },
        readyWithin: "3 seconds"
      })
      yield* service.signal(service.first, "SIGUSR2")
      yield* service.process.event("bad")
      yield* service.signal(service.first, "SIGUSR2")
      assert.strictEqual(yield* service.failed(1), "Busy")
      assert.strictEqual(yield* service.failed(2), "TimedOut")
    }), slow)

  it.live(
    "ends with the successor when the program is told to stop, which drains and ends with 0",
    () =>
      Effect.gen(function*() {
        const service = yield* Handover.start("http")
        yield* service.next({ program: Handover.badSuccessor.pathname, env: { MISBEHAVE: "hang" } })
        yield* service.signal(service.first, "SIGUSR2")
        const bad = yield* service.process.event("bad")
        yield* service.signal(service.first, "SIGTERM")
        const exit = yield* service.process.exit
        assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
        assert.isFalse(Handover.runs(Number(bad["pid"])))
        assert.match(exit.stderr.join("\n"), /upgrade on all: Closing: the program closes: SIGTERM/)
      }),
    slow
  )

  it.live("is refused while the program closes, which goes on", () =>
    Effect.gen(function*() {
      const service = yield* Handover.start("http")
      const answer = yield* service.hold
      yield* service.signal(service.first, "SIGTERM")
      yield* service.process.stderr((line) => line.includes("draining") ? true : undefined)
      yield* service.signal(service.first, "SIGUSR2")
      assert.strictEqual(yield* service.failed(1), "Closing")
      yield* service.release
      assert.strictEqual(yield* answer, service.first)
      const exit = yield* service.process.exit
      assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
    }), slow)

  it.live(
    "is refused by a successor whose predecessor still drains, and no longer than that",
    () =>
      Effect.gen(function*() {
        const service = yield* Handover.start("http")
        const answer = yield* service.hold
        yield* service.signal(service.first, "SIGUSR2")
        const { pid } = yield* service.generation(1)
        yield* service.signal(pid, "SIGUSR2")
        assert.strictEqual(yield* service.failed(1), "Busy")
        yield* service.release
        assert.strictEqual(yield* answer, service.first)
        yield* service.process.stderr((line) =>
          line.includes(`process ${service.first} has handed over`) ? true : undefined
        )
        yield* service.signal(pid, "SIGUSR2")
        assert.notStrictEqual((yield* service.generation(2)).pid, pid)
      }),
    slow
  )

  it.live(
    "is refused as process 1, which says what to do and serves on",
    () =>
      Effect.gen(function*() {
        const service = yield* Handover.start("http", { runtime: [...ownProcesses, process.execPath] })
        assert.strictEqual(service.first, 1)
        const children = Fs.readFileSync(`/proc/${service.process.pid}/task/${service.process.pid}/children`, "utf8")
        process.kill(Number(children), "SIGUSR2")
        const why = yield* Effect.flip(service.refused)
        assert.match(why.message, /upgrade on all: Refused: this is process 1.*: run NodeWorkers\.runMain as process 1/)
        const clients = yield* Relentless.start(service.target, 2)
        yield* clients.answeredBy(1)
        assert.deepStrictEqual(Relentless.lost(yield* clients.stop), Relentless.none)
      }),
    { timeout: slow, tags: ["own-processes"] }
  )

  it.live("goes on when the predecessor is killed in it", () =>
    Effect.gen(function*() {
      const service = yield* Handover.start("http")
      const clients = yield* Relentless.start(service.target, 1, () => false)
      yield* clients.more(5)
      yield* service.signal(service.first, "SIGUSR2")
      // the second is the successor's: it has its socket, and is prepared or about to be
      let open = 0
      yield* service.process.stderr((line) => line.includes("is open at") && ++open === 2 ? true : undefined)
      yield* service.signal(service.first, "SIGKILL")
      const { pid } = yield* service.generation(1)
      yield* clients.answeredBy(pid)
      const { hung, refused } = yield* clients.stop
      assert.deepStrictEqual({ hung, refused }, { hung: 0, refused: 0 })
    }), slow)

  it.live("takes all listeners, and keeps the file of a Unix socket until the last stop", () =>
    Effect.gen(function*() {
      const service = yield* Handover.start("two")
      // of either listener
      let open = 0
      yield* service.process.stdout((line) => line.includes("\"open\"") && ++open === 2 ? true : undefined)
      const file = Fs.lstatSync(service.socket).ino
      const clients = yield* Relentless.start({ protocol: "tcp", path: service.socket }, 2)
      yield* clients.more(10)
      yield* service.signal(service.first, "SIGUSR2")
      const { report } = yield* service.handedOver(service.first)
      const { drain, pid, sockets } = report as {
        readonly pid: number
        readonly sockets: ReadonlyArray<{ readonly name: string }>
        readonly drain: { readonly listeners: ReadonlyArray<{ readonly queue: string }> }
      }
      assert.deepStrictEqual(sockets.map(({ name }) => name).sort(), ["http", "unix"])
      assert.deepStrictEqual(drain.listeners.map(({ queue }) => queue), ["left", "left"])
      yield* clients.answeredBy(pid)
      assert.deepStrictEqual(Relentless.lost(yield* clients.stop), Relentless.none)
      assert.strictEqual(Fs.lstatSync(service.socket).ino, file)
      yield* service.process.stderr((line) =>
        line.includes(`process ${service.first} has handed over`) ? true : undefined
      )
      yield* service.signal(pid, "SIGTERM")
      yield* service.process.exit
      assert.isFalse(Fs.existsSync(service.socket))
    }), slow)
})

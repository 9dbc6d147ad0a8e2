import type { BoundTransport } from "@effect-listener/core/Transport"
import * as NodeUnix from "@effect-listener/node/NodeUnix"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Logger, Scope } from "effect"
import { NetAddress } from "effect/net"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { hiddenBeside } from "../src/internal/listen/unixPath.ts"
import * as ClientsDuringBlock from "./support/clientsDuringBlock.ts"
import { folder } from "./support/listening.ts"
import { connect } from "./support/peer.ts"
import * as Program from "./support/process.ts"
import { turns } from "./support/resources.ts"

const bind = (options: NodeUnix.TransportOptions) => NodeUnix.transport(options).bind

const linger = { idle: Duration.millis(500), total: Duration.seconds(5), bytes: 1 << 20 }

/** Talks to what listens: sends `hello`, and answers what comes back. */
const talk = (bound: BoundTransport) =>
  Effect.gen(function*() {
    const peer = yield* connect(bound.address)
    const connection = yield* bound.accept
    const { pull } = yield* connection.socket.reader
    const { write } = yield* connection.socket.writer
    yield* peer.send("hello")
    const [chunk] = yield* pull
    yield* write(`got ${chunk.toString()}`)
    const goodbye = yield* Effect.forkChild(connection.goodbye(linger), { startImmediately: true })
    const { data } = yield* peer.rest
    yield* peer.end
    yield* Fiber.join(goodbye)
    return data.toString()
  })

/** The file of a socket on which nothing listens, as a killed process leaves it behind. */
const stale = (path: string) =>
  Effect.callback<void>((resume) => {
    const server = Net.createServer()
    server.listen(`${path}~`, () => {
      Fs.renameSync(`${path}~`, path)
      // it removes the name that it was bound to, which is gone
      server.close(() => resume(Effect.void))
    })
  })

const modeOf = (path: string): number => Fs.lstatSync(path).mode & 0o777

describe("NodeUnix.transport", () => {
  it.live("listens at a path, and leaves nothing there", () =>
    Effect.gen(function*() {
      const directory = yield* folder()
      const path = Path.join(directory, "s")
      yield* Effect.scoped(Effect.gen(function*() {
        const bound = yield* bind({ path })
        assert.deepStrictEqual(bound.address, NetAddress.unixPathAddress(path))
        assert.deepStrictEqual(Fs.readdirSync(directory), ["s"])
        assert.strictEqual(yield* talk(bound), "got hello")
      }))
      assert.deepStrictEqual(Fs.readdirSync(directory), [])
    }))

  it.live("hands over connections between its path and peers without a name", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder(), "s")
      const bound = yield* bind({ path })
      const peer = yield* connect(bound.address)
      const connection = yield* bound.accept
      assert.strictEqual(connection.protocol, "unix")
      assert.deepStrictEqual(connection.local, NetAddress.unixPathAddress(path))
      assert.deepStrictEqual(connection.remote, NetAddress.unixPathAddress(""))
      yield* connection.destroy
      assert.strictEqual(yield* peer.ending, "FIN")
    }))

  it.live("gives its file the mode that was asked for, or what the umask leaves", () =>
    Effect.gen(function*() {
      const directory = yield* folder()
      for (const mode of [0o600, 0o660, 0o777, 0]) {
        const path = Path.join(directory, `${mode}`)
        yield* bind({ path, mode })
        assert.strictEqual(modeOf(path), mode)
      }
      const path = Path.join(directory, "default")
      yield* bind({ path })
      assert.strictEqual(modeOf(path), 0o777 & ~process.umask())
    }))

  it.live.each([["a short path", 1], ["the longest path with a short name", 105]] as const)(
    "is bound where other users cannot enter: %s",
    ([, length]) =>
      Effect.gen(function*() {
        const directory = Path.join(yield* folder(), "y".repeat(Math.max(1, length - (yield* folder()).length - 1)))
        Fs.mkdirSync(directory)
        const umask = process.umask(0)
        yield* Effect.addFinalizer(() => Effect.sync(() => process.umask(umask)))
        yield* Effect.scoped(Effect.gen(function*() {
          const hidden = yield* hiddenBeside(Path.join(directory, "s"))
          const [name = "", ...others] = Fs.readdirSync(directory)
          assert.deepStrictEqual(others, [])
          assert.strictEqual(modeOf(Path.join(directory, name)), 0o700)
          const server = Net.createServer().listen(hidden.bindAt)
          assert.isTrue(Fs.lstatSync(hidden.file).isSocket())
          assert.strictEqual(Path.dirname(hidden.file), Path.join(directory, name))
          server.close()
        }))
        assert.deepStrictEqual(Fs.readdirSync(directory), [])
      })
  )

  it.live("replaces a socket file on which nothing listens", () =>
    Effect.gen(function*() {
      const directory = yield* folder()
      const path = Path.join(directory, "s")
      yield* stale(path)
      assert.deepStrictEqual(Fs.readdirSync(directory), ["s"])
      const bound = yield* bind({ path })
      assert.strictEqual(yield* talk(bound), "got hello")
      assert.deepStrictEqual(Fs.readdirSync(directory), ["s"])
    }))

  it.live("fails with AddressInUse where a process listens, and does not disturb it", () =>
    Effect.gen(function*() {
      const directory = yield* folder()
      const path = Path.join(directory, "s")
      const bound = yield* bind({ path })
      const error = yield* Effect.flip(Effect.scoped(bind({ path })))
      assert.deepInclude(error, { _tag: "AddressInUse", address: path })
      assert.deepStrictEqual(Fs.readdirSync(directory), ["s"])
      // the question whether a process listens was a connection, which has ended
      const question = yield* bound.accept
      const { pull } = yield* question.socket.reader
      assert.strictEqual((yield* Effect.flip(pull)).message, "1000")
      yield* question.destroy
      assert.strictEqual(yield* talk(bound), "got hello")
    }))

  it.live("fails with AddressInUse where there is something else, and leaves it alone", () =>
    Effect.gen(function*() {
      const directory = yield* folder()
      const file = Path.join(directory, "file")
      Fs.writeFileSync(file, "precious")
      Fs.mkdirSync(Path.join(directory, "directory"))
      Fs.symlinkSync("nowhere", Path.join(directory, "link"))
      for (const name of ["file", "directory", "link"]) {
        const error = yield* Effect.flip(bind({ path: Path.join(directory, name) }))
        assert.deepInclude(error, { _tag: "AddressInUse", address: Path.join(directory, name) })
      }
      assert.deepStrictEqual(Fs.readdirSync(directory), ["directory", "file", "link"])
      assert.strictEqual(Fs.readFileSync(file, "utf8"), "precious")
    }))

  it.live("fails with AddressNotAvailable without the directory", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder(), "missing", "s")
      const error = yield* Effect.flip(bind({ path }))
      assert.deepInclude(error, { _tag: "AddressNotAvailable", address: path })
    }))

  it.live("fails with AccessDenied where it may not write", () =>
    Effect.gen(function*() {
      const directory = yield* folder()
      Fs.chmodSync(directory, 0o555)
      const path = Path.join(directory, "s")
      const program = yield* Program.start(new URL("./programs/bind.ts", import.meta.url), {
        args: ["unix", JSON.stringify({ path })],
        env: process.getuid?.() === 0 ? { RUN_AS: "65534" } : {}
      })
      assert.deepInclude(yield* program.event("outcome"), { _tag: "AccessDenied", address: path })
    }))

  it.live("fails with TransportFailure on what has no word of its own", () =>
    Effect.gen(function*() {
      const directory = yield* folder()
      Fs.writeFileSync(Path.join(directory, "file"), "")
      const error = yield* Effect.flip(bind({ path: Path.join(directory, "file", "s") }))
      assert.deepInclude(error, { _tag: "TransportFailure", code: "ENOTDIR" })
    }))

  it.live.each(
    [
      ["path", { path: "" }],
      ["path", { path: "a\0b" }],
      ["path", { path: "\0abstract" }],
      ["path", { path: `/tmp/${"x".repeat(103)}` }],
      ["path", { path: `/tmp/${"é".repeat(52)}` }],
      // from JavaScript
      ["path", { path: 5 as unknown as string }],
      ["mode", { path: "/tmp/s", mode: -1 }],
      ["mode", { path: "/tmp/s", mode: 0o1000 }],
      ["mode", { path: "/tmp/s", mode: 1.5 }],
      ["mode", { path: "/tmp/s", mode: NaN }],
      ["backlog", { path: "/tmp/s", backlog: 0 }]
    ] as const
  )("fails with InvalidArgument on a bad %s: %j", ([parameter, options]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(bind(options))
      assert.strictEqual(error._tag === "InvalidArgument" && error.parameter, parameter)
    }))

  it.live("takes the longest path there is, also when its name is short", () =>
    Effect.gen(function*() {
      const directory = yield* folder()
      const long = Path.join(directory, "x".repeat(107 - directory.length - 1))
      assert.strictEqual(long.length, 107)
      assert.strictEqual(yield* talk(yield* bind({ path: long })), "got hello")

      const deep = Path.join(directory, "y".repeat(107 - directory.length - 3))
      Fs.mkdirSync(deep)
      // all of the letters a name made up of one could be taken from
      const names = Array.from("0123456789abcdefs")
      for (const name of names) {
        const short = Path.join(deep, name)
        assert.strictEqual(short.length, 107)
        assert.strictEqual(yield* talk(yield* bind({ path: short, mode: 0o600 })), "got hello")
        assert.strictEqual(modeOf(short), 0o600)
      }
      assert.deepStrictEqual(Fs.readdirSync(deep), names)
    }))

  it.live("leaves alone what is not its file any more", () =>
    Effect.gen(function*() {
      const directory = yield* folder()
      const path = Path.join(directory, "s")
      const old = yield* Scope.make()
      yield* Scope.provide(bind({ path }), old)
      // another process takes the address over
      Fs.unlinkSync(path)
      const bound = yield* bind({ path })
      yield* Scope.close(old, Exit.void)
      assert.strictEqual(yield* talk(bound), "got hello")
    }))

  it.live("does not mind when its file is gone", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder(), "s")
      const messages: Array<unknown> = []
      const logger = Logger.make(({ message }) => {
        messages.push(message)
      })
      yield* Effect.scoped(Effect.andThen(bind({ path }), Effect.sync(() => Fs.unlinkSync(path)))).pipe(
        Effect.provide(Logger.layer([logger]))
      )
      assert.deepStrictEqual(messages, [])
    }))

  it.live("says so when it cannot remove its file, and stops all the same", () =>
    Effect.gen(function*() {
      const directory = yield* folder()
      const path = Path.join(directory, "sub", "s")
      Fs.mkdirSync(Path.dirname(path))
      const bound = yield* bind({ path })
      // a file where the directory was: looking for the socket there fails
      Fs.renameSync(Path.dirname(path), Path.join(directory, "moved"))
      Fs.writeFileSync(Path.dirname(path), "")
      const messages: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => {
        messages.push([logLevel, message].flat()[1], logLevel)
      })
      yield* Effect.provide(bound.stop, Logger.layer([logger]))
      assert.deepStrictEqual(messages, [`cannot remove the socket file ${path}`, "Warn"])
    }))

  it.live("interrupted or failed, leaves no file", () =>
    Effect.gen(function*() {
      const directory = yield* folder()
      const path = Path.join(directory, "s")
      for (let after = 0; after < 5; after++) {
        const scope = yield* Scope.make()
        const binding = yield* Effect.forkChild(Scope.provide(bind({ path }), scope), { startImmediately: true })
        yield* turns(after)
        yield* Fiber.interrupt(binding)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(Fs.readdirSync(directory), [])
      }
      // to replace a stale file takes some turns: it is still there, or replaced and removed
      for (let after = 0; after < 8; after++) {
        if (!Fs.existsSync(path)) yield* stale(path)
        const binding = yield* Effect.forkChild(Effect.scoped(bind({ path })), { startImmediately: true })
        yield* turns(after)
        yield* Fiber.interrupt(binding)
        assert.include([[], ["s"]].map(String), String(Fs.readdirSync(directory)))
        const refused = yield* Effect.flip(Effect.scoped(connect({ path })))
        assert.match(refused.message, /ECONNREFUSED|ENOENT/)
      }
    }))

  it.live("stopping, removes the file and then hands over 100 clients that were in the kernel's queue", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder(), "s")
      const bound = yield* bind({ path })
      const crowd = yield* ClientsDuringBlock.make({ path }, { clients: 100, request: "hello" })
      crowd.arriveWhileBlocked()
      const stopping = yield* Effect.forkChild(bound.stop, { startImmediately: true })
      assert.isFalse(Fs.existsSync(path))
      const refused = yield* Effect.flip(Effect.scoped(connect({ path })))
      assert.include(refused.message, "ENOENT")
      yield* Fiber.join(stopping)
      for (let i = 0; i < 100; i++) {
        const connection = Effect.runSync(bound.accept)
        yield* Effect.forkChild(Effect.scoped(Effect.gen(function*() {
          const { pull } = yield* connection.socket.reader
          const { write } = yield* connection.socket.writer
          const [chunk] = yield* pull
          yield* write(`got ${chunk.toString()}`)
          yield* connection.goodbye(linger)
        })))
      }
      const expected = Array.from({ length: 100 }, () => ({ text: "got hello", ending: "FIN" }))
      assert.deepStrictEqual(yield* crowd.members, expected)
    }))
})

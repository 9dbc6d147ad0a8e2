import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import * as Dgram from "node:dgram"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { stopReceiving } from "../src/internal/datagrams/receiving.ts"
import { bindSocket } from "../src/internal/inherit/boundSocket.ts"
import { restartBehindLauncher } from "./support/handoverRounds.ts"
import { folder } from "./support/listening.ts"
import * as Process from "./support/process.ts"
import { client } from "./support/udpClient.ts"

const program = new URL("programs/inherit.ts", import.meta.url)

/** A bound socket, closed with the scope. */
const bound = (options: Parameters<typeof bindSocket>[0] = { host: "127.0.0.1" }) =>
  Effect.acquireRelease(Effect.sync(() => bindSocket(options)), (socket) => Effect.sync(() => socket.close()))

const launch = (
  listeners: ReadonlyArray<object>,
  passed: ReadonlyArray<number | "pipe" | "ignore">,
  env: Record<string, string> = {},
  shell?: string
) =>
  Process.start(program, {
    passed,
    shell,
    env: { LISTENERS: JSON.stringify(listeners), LISTEN_FDS: String(passed.length), LISTEN_FDNAMES: "http", ...env }
  })

/** The error of the first bind. */
const failure = (
  ...args: Parameters<typeof launch>
): Effect.Effect<Record<string, unknown>, Error, Effect.Services<ReturnType<typeof launch>>> =>
  Effect.flatMap(launch(...args), (process) => process.event("failed"))

/** What a client is answered. */
const echo = (address: Net.NetConnectOpts, text: string): Effect.Effect<string, Error> =>
  Effect.callback((resume) => {
    const client = Net.connect(address)
    let answer = ""
    client.on("data", (chunk) => {
      answer += chunk
    })
    client.on("close", () => resume(Effect.succeed(answer)))
    client.on("error", (error) => resume(Effect.fail(error)))
    client.end(text)
  })

const tcp = { kind: "tcp", port: 0, inherit: "http" }

describe("NodeInherit", { tags: ["bound-sockets"] }, () => {
  it.live("takes a socket by its name, and unsets the variables", () =>
    Effect.gen(function*() {
      const socket = yield* bound()
      const { port } = socket.address()
      const process = yield* launch([tcp], [socket.fd()])
      const open = yield* process.event("open")
      assert.strictEqual(open["address"], `127.0.0.1:${port}`)
      assert.strictEqual(yield* echo({ port, host: "127.0.0.1" }, "hello"), "hello")
      const { success } = yield* process.event("sockets")
      assert.deepStrictEqual(success, [{ name: "http", index: 0, fd: 3, from: "systemd" }])
      assert.strictEqual((yield* process.event("child"))["variables"], 0)
    }))

  it.live("is served by TLS, HTTP and a Unix socket as well", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder(), "s")
      const [secure, http, unix] = [yield* bound(), yield* bound(), yield* bound({ path })]
      const before = Fs.lstatSync(path).ino
      const process = yield* launch(
        [
          { kind: "tls", port: secure.address().port, inherit: { name: "secure", required: true } },
          { kind: "http", port: http.address().port, host: "127.0.0.1", inherit: "http" },
          { kind: "unix", path, inherit: "unix" }
        ],
        [secure.fd(), http.fd(), unix.fd()],
        { LISTEN_FDNAMES: "secure:http:unix" }
      )
      yield* process.event("child")
      assert.strictEqual(yield* echo({ path }, "hello"), "hello")
      yield* process.signal("SIGTERM")
      const exit = yield* process.exit
      assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
      assert.deepStrictEqual(
        exit.stdout.map((line) => JSON.parse(line).kind ?? JSON.parse(line).event),
        ["tls", "http", "unix", "sockets", "child"]
      )
      // the file belongs to the process that holds the socket
      assert.strictEqual(Fs.lstatSync(path).ino, before)
    }))

  it.live("is served by a layer for Effect's socket servers", () =>
    Effect.gen(function*() {
      const socket = yield* bound()
      const { port } = socket.address()
      const process = yield* launch([{ kind: "socketServer", host: "127.0.0.1", port, inherit: "http" }], [socket.fd()])
      assert.strictEqual((yield* process.event("open"))["address"], `127.0.0.1:${port}`)
      assert.strictEqual(yield* echo({ port, host: "127.0.0.1" }, "hello"), "hello")
    }))

  it.live(
    "is there while the service is stopped and started again: clients wait, and none is refused or reset",
    () => Effect.flatMap(bound(), (socket) => restartBehindLauncher(socket, 2, "500 millis"))
  )

  it.live("sets the backlog that was asked for, and never less than 4096 without one", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* bound(), yield* bound()]
      const process = yield* launch(
        [{ ...tcp, backlog: 2000 }, { ...tcp, inherit: "other" }],
        [one.fd(), two.fd()],
        { LISTEN_FDNAMES: "http:other" }
      )
      yield* process.event("child")
      const most = Number(Fs.readFileSync("/proc/sys/net/core/somaxconn", "utf8"))
      assert.strictEqual(backlogOf(one.address().port), Math.min(2000, most))
      assert.strictEqual(backlogOf(two.address().port), Math.min(4096, most))
    }), { tags: ["ss"] })

  describe("names the descriptor that is not what it should be", () => {
    it.live("a TCP socket for datagrams", () =>
      Effect.gen(function*() {
        const socket = yield* bound()
        const error = yield* failure([{ kind: "udp", port: 0, inherit: "http" }], [socket.fd()])
        assert.match(String(error["detail"]), /"http" \(descriptor 3\) is a TCP socket, not a UDP socket/)
      }))

    it.live("another kind", () =>
      Effect.gen(function*() {
        const path = Path.join(yield* folder(), "s")
        const unix = yield* bound({ path })
        const error = yield* failure([tcp], [unix.fd()])
        assert.strictEqual(error["_tag"], "InvalidArgument")
        assert.match(String(error["detail"]), /"http" \(descriptor 3\) is a Unix socket, not a TCP socket/)
      }))

    it.live("another port, with both addresses", () =>
      Effect.gen(function*() {
        const socket = yield* bound()
        const { port } = socket.address()
        const error = yield* failure([{ ...tcp, port: 1 }], [socket.fd()])
        assert.strictEqual(error["_tag"], "InvalidArgument")
        assert.include(String(error["detail"]), `is bound to 127.0.0.1:${port}, not to 127.0.0.1:1`)
      }))

    it.live("another family, with both addresses", () =>
      Effect.gen(function*() {
        const socket = yield* bound()
        const { port } = socket.address()
        const error = yield* failure([{ ...tcp, host: "::1" }], [socket.fd()])
        assert.strictEqual(error["_tag"], "InvalidArgument")
        assert.include(String(error["detail"]), `is bound to 127.0.0.1:${port}, not to [::1]:${port}`)
      }))

    it.live("another path, with both paths", () =>
      Effect.gen(function*() {
        const path = Path.join(yield* folder(), "s")
        const unix = yield* bound({ path })
        const error = yield* failure([{ kind: "unix", path: `${path}2`, inherit: "http" }], [unix.fd()])
        assert.strictEqual(error["_tag"], "InvalidArgument")
        assert.include(String(error["detail"]), `is bound to ${path}, not to ${path}2`)
      }))

    it.live("taken twice", () =>
      Effect.gen(function*() {
        const socket = yield* bound()
        const error = yield* failure([tcp, tcp], [socket.fd()])
        assert.strictEqual(error["_tag"], "AddressInUse")
        assert.include(String(error["address"]), `"http" (descriptor 3), taken twice`)
      }))

    it.live("one of several of a name, unless its index is given", () =>
      Effect.gen(function*() {
        const [one, two] = [yield* bound(), yield* bound()]
        const process = yield* launch(
          [{ ...tcp, inherit: { name: "http", index: 1 } }, tcp],
          [one.fd(), two.fd()],
          { LISTEN_FDNAMES: "http:http" }
        )
        assert.strictEqual((yield* process.event("open"))["address"], `127.0.0.1:${two.address().port}`)
        const error = yield* process.event("failed")
        assert.strictEqual(error["_tag"], "InvalidArgument")
        assert.match(String(error["detail"]), /2 sockets have the name "http" \(descriptor 3, descriptor 4\)/)
      }))

    it.live("required and not there", () =>
      Effect.gen(function*() {
        const socket = yield* bound()
        const error = yield* failure([{ ...tcp, inherit: { name: "admin", required: true } }], [socket.fd()])
        assert.strictEqual(error["_tag"], "AddressNotAvailable")
        assert.include(String(error["address"]), `"admin" (there are: "http" (descriptor 3))`)
      }))
  })

  describe("does not believe variables", () => {
    it.live("that name another process: both are named", () =>
      Effect.gen(function*() {
        const socket = yield* bound()
        const process = yield* launch([tcp], [socket.fd()], { LISTEN_PID: "1" })
        const error = yield* process.event("failed")
        assert.strictEqual(error["parameter"], "LISTEN_PID")
        assert.include(String(error["detail"]), `passed to process 1, and this is ${process.pid}`)
      }))

    it.live("but those that name this one", () =>
      Effect.gen(function*() {
        const socket = yield* bound()
        const process = yield* launch([tcp], [socket.fd()], {}, `LISTEN_PID=$$ exec "$0" "$@"`)
        yield* process.event("open")
      }))

    it.live("whose number is none", () =>
      Effect.gen(function*() {
        const socket = yield* bound()
        const error = yield* failure([tcp], [socket.fd()], { LISTEN_FDS: "some" })
        assert.strictEqual(error["parameter"], "LISTEN_FDS")
      }))

    it.live("with more names than sockets", () =>
      Effect.gen(function*() {
        const socket = yield* bound()
        const error = yield* failure([tcp], [socket.fd()], { LISTEN_FDNAMES: "http:admin" })
        assert.strictEqual(error["parameter"], "LISTEN_FDNAMES")
      }))
  })
})

describe("NodeInherit, without a socket that could be taken", () => {
  it.live("binds by itself where there is no socket of the name", () =>
    Effect.gen(function*() {
      const process = yield* Process.start(program, { env: { LISTENERS: JSON.stringify([tcp]) } })
      yield* process.event("open")
      const { success } = yield* process.event("sockets")
      assert.deepStrictEqual(success, [])
    }))

  describe("names the descriptor", () => {
    it.live("closed", () =>
      Effect.gen(function*() {
        const error = yield* failure([tcp], [], { LISTEN_FDS: "1" })
        assert.strictEqual(error["_tag"], "InvalidArgument")
        assert.match(String(error["detail"]), /"http" \(descriptor 3\) is closed/)
      }))

    it.live("a file", () =>
      Effect.gen(function*() {
        const file = Fs.openSync(program, "r")
        const error = yield* failure([tcp], [file])
        Fs.closeSync(file)
        assert.strictEqual(error["_tag"], "InvalidArgument")
        assert.match(String(error["detail"]), /"http" \(descriptor 3\) is a file, not a socket/)
      }))

    it.live("a pipe", () =>
      Effect.gen(function*() {
        const path = Path.join(yield* folder(), "pipe")
        execFileSync("mkfifo", [path])
        const pipe = Fs.openSync(path, "r+")
        const error = yield* failure([tcp], [pipe])
        Fs.closeSync(pipe)
        assert.strictEqual(error["_tag"], "InvalidArgument")
        assert.match(String(error["detail"]), /"http" \(descriptor 3\) is a pipe, not a socket/)
      }))

    it.live("a connected socket", () =>
      Effect.gen(function*() {
        const error = yield* failure([tcp], ["pipe"])
        assert.strictEqual(error["_tag"], "InvalidArgument")
        assert.match(String(error["detail"]), /"http" \(descriptor 3\) is a connected Unix socket/)
      }))

    it.live("a UDP socket", () =>
      Effect.gen(function*() {
        const udp = yield* Effect.acquireRelease(
          Effect.callback<Dgram.Socket>((resume) => {
            const socket = Dgram.createSocket("udp4")
            socket.bind(0, "127.0.0.1", () => resume(Effect.succeed(socket)))
          }),
          (socket) => Effect.sync(() => socket.close())
        )
        const error = yield* failure([tcp], [descriptorOf(udp)])
        assert.strictEqual(error["_tag"], "InvalidArgument")
        assert.match(String(error["detail"]), /"http" \(descriptor 3\) is a UDP socket, not a TCP socket/)
      }))
  })
})

describe("NodeUdp", () => {
  const wanted = { kind: "udp", port: 0, inherit: "http" }

  const udp = (type: Dgram.SocketType, host: string) =>
    Effect.acquireRelease(
      Effect.callback<Dgram.Socket>((resume) => {
        const socket = Dgram.createSocket(type)
        socket.bind(0, host, () => resume(Effect.succeed(socket)))
      }),
      (socket) => Effect.sync(() => socket.close())
    )

  it.live.each([["udp4", "127.0.0.1"], ["udp6", "::1"]] as const)(
    "takes an inherited socket: %s",
    ([type, host]) =>
      Effect.gen(function*() {
        const holder = yield* udp(type, host)
        const { port } = holder.address()
        // a holder that reads would take what is the other's
        stopReceiving(holder)
        const process = yield* launch([wanted], [descriptorOf(holder)])
        const open = yield* process.event("open")
        assert.strictEqual(open["address"], host === "::1" ? `[::1]:${port}` : `${host}:${port}`)
        const sender = yield* client(type)
        yield* sender.send("hello", port, host)
        yield* sender.answered(1)
        assert.deepStrictEqual(sender.answers, ["hello"])
      })
  )

  it.live("fails the bind where it is bound elsewhere than is wanted", () =>
    Effect.gen(function*() {
      const holder = yield* udp("udp4", "127.0.0.1")
      const { port } = holder.address()
      const error = yield* failure([{ ...wanted, port: port === 65_535 ? 1024 : port + 1 }], [descriptorOf(holder)])
      assert.strictEqual(error["parameter"], "inherit")
      assert.match(String(error["detail"]), new RegExp(`is bound to 127.0.0.1:${port}, not to 127.0.0.1:`))
    }))

  it.live(
    "serves the datagram that systemd started it with",
    () =>
      Effect.gen(function*() {
        // free again when it is known
        const { port } = yield* Effect.scoped(Effect.map(udp("udp4", "127.0.0.1"), (socket) => socket.address()))
        const process = yield* Process.start(program, {
          env: { LISTENERS: JSON.stringify([wanted]) },
          shell: `exec systemd-socket-activate --datagram -l 127.0.0.1:${port} --fdname=http -E LISTENERS "$0" "$@"`
        })
        const sender = yield* client()
        // the tool listens some time after it was started
        while (sender.answers.length === 0) {
          yield* sender.send("hello", port)
          yield* Effect.raceFirst(sender.answered(1), Effect.sleep(100))
        }
        assert.strictEqual((yield* process.event("open"))["address"], `127.0.0.1:${port}`)
        assert.strictEqual(sender.answers[0], "hello")
      }),
    { tags: ["systemd-socket-activate"] }
  )
})

/** The number Node knows and does not tell. */
const descriptorOf = (socket: Dgram.Socket): number => {
  const tables = ["/proc/net/udp", "/proc/net/udp6"].map((table) => Fs.readFileSync(table, "utf8")).join("\n")
  const inodes = new Set(
    tables.split("\n").flatMap((line) => {
      const fields = line.trim().split(/\s+/)
      return Number.parseInt(fields[1]?.split(":")[1] ?? "", 16) === socket.address().port ? [fields[9]] : []
    })
  )
  const found = Fs.readdirSync("/proc/self/fd").find((fd) => {
    try {
      return inodes.has(/^socket:\[(\d+)\]$/.exec(Fs.readlinkSync(`/proc/self/fd/${fd}`))?.[1])
    } catch {
      return false
    }
  })
  return Number(found)
}

/** What `ss` shows of a listening socket in its column Send-Q. */
const backlogOf = (port: number): number => {
  const line = execFileSync("ss", ["-Hltn", `sport = :${port}`], { encoding: "utf8" }).trim().split(/\s+/)
  return Number(line[2])
}

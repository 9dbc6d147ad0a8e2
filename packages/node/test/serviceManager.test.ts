import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { bindSocket } from "../src/internal/inherit/boundSocket.ts"
import { assignments } from "../src/internal/main/manager/notifications.ts"
import * as Handover from "./support/handover.ts"
import { folder } from "./support/listening.ts"
import * as Process from "./support/process.ts"

describe("what a service manager is told", () => {
  it.each(
    [
      [{ type: "Ready" }, ["READY=1", "STATUS=accepting"]],
      [{ type: "Closing", line: "closing: SIGTERM" }, ["STOPPING=1", "STATUS=closing: SIGTERM"]],
      [{ type: "Progress", line: "draining 1 of 2", sinceExtended: 4999 }, ["STATUS=draining 1 of 2"]],
      [{ type: "Progress", line: "a\nb", sinceExtended: 5000 }, ["STATUS=a b", "EXTEND_TIMEOUT_USEC=15000000"]],
      [{ type: "HandedOver", pid: 7 }, ["MAINPID=7", "STATUS=handed over to process 7"]]
    ] as const
  )("%j", (event, expected) => {
    assert.deepStrictEqual(assignments(event), expected)
  })
})

/** Prints each datagram that comes to a Unix socket as a JSON line: Node has no such sockets. */
const receiver = `
import json, socket, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(sys.argv[1])
print(json.dumps("bound"), flush=True)
while True: print(json.dumps(manager.recv(65536).decode()), flush=True)
`

/** A stand-in for the manager: what it is told, line by line. */
const manager = Effect.gen(function*() {
  const path = Path.join(yield* folder(), "notify")
  const python = yield* Effect.acquireRelease(
    Effect.sync(() => spawn("python3", ["-c", receiver, path], { stdio: ["ignore", "pipe", "inherit"] })),
    (child) => Effect.sync(() => child.kill())
  )
  const said: Array<string> = []
  const waiting = new Set<() => void>()
  createInterface(python.stdout).on("line", (line) => {
    said.push(...String(JSON.parse(line)).split("\n"))
    for (const look of Array.from(waiting)) look()
  })
  const heard = (pattern: RegExp): Effect.Effect<string> =>
    Effect.callback((resume) => {
      const look = () => {
        const found = said.find((line) => pattern.test(line))
        if (found === undefined) return
        waiting.delete(look)
        resume(Effect.succeed(found))
      }
      waiting.add(look)
      look()
    })
  yield* heard(/^bound$/)
  return { path, heard, said }
})

describe("with a service manager that listens", { tags: ["python", "systemd-notify", "bound-sockets"] }, () => {
  it.live(
    "says that it is ready, which process the service is after a hand-over, and that it stops",
    () =>
      Effect.gen(function*() {
        const { heard, path } = yield* manager
        const service = yield* Handover.start("http", { env: { NOTIFY_SOCKET: path } })
        yield* heard(/^READY=1$/)
        const [, successor] = yield* Handover.handOver(service, 1)
        assert.strictEqual(yield* heard(/^MAINPID=/), `MAINPID=${successor}`)
        // a program that has ended says nothing more: it ends when it has been heard
        const answer = yield* service.hold
        yield* service.signal(successor!, "SIGTERM")
        yield* heard(/^STOPPING=1$/)
        yield* heard(/^STATUS=closing: SIGTERM$/)
        yield* service.release
        assert.strictEqual(yield* answer, successor)
        yield* service.process.exit
      }),
    300_000
  )
})

/** What says it, on a machine that takes two seconds to start a program; notes whether that which asked is still there. */
const slowly = `#!/bin/sh
sleep 2
kill -0 $PPID && echo "$*" >>"$0.asked"
`

describe("with a service manager that is told slowly", { tags: ["bound-sockets"] }, () => {
  it.live(
    "a predecessor ends when it has been told which process the service is",
    () =>
      Effect.gen(function*() {
        const notifier = Path.join(yield* folder(), "systemd-notify")
        Fs.writeFileSync(notifier, slowly, { mode: 0o755 })
        const service = yield* Handover.start("http", {
          env: { NOTIFY_SOCKET: "/nowhere", PATH: `${Path.dirname(notifier)}:${process.env["PATH"]}` }
        })
        const [, successor] = yield* Handover.handOver(service, 1)
        yield* service.signal(successor!, "SIGTERM")
        yield* service.process.exit
        assert.include(Fs.readFileSync(`${notifier}.asked`, "utf8"), `MAINPID=${successor} `)
      }),
    300_000
  )
})

describe("a socket that no listener takes", { tags: ["bound-sockets"] }, () => {
  it.live("fails the program once it is ready, by name", () =>
    Effect.gen(function*() {
      const socket = yield* Effect.acquireRelease(
        Effect.sync(() => bindSocket({ host: "127.0.0.1" })),
        (socket) => Effect.sync(() => socket.close())
      )
      const process = yield* Process.start(new URL("programs/inherit.ts", import.meta.url), {
        passed: [socket.fd()],
        env: {
          LISTENERS: JSON.stringify([{ kind: "tcp", port: 0, inherit: "http" }]),
          LISTEN_FDS: "1",
          LISTEN_FDNAMES: "admin"
        }
      })
      const exit = yield* process.exit
      assert.strictEqual(exit.code, 1)
      assert.match(exit.stderr.join("\n"), /no listener has taken inherited socket "admin" \(descriptor 3\)/)
    }))
})

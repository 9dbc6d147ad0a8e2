import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { readListenFds } from "../src/internal/inherit/listenFds.ts"
import {
  type BoundTo,
  encode,
  makeDecoder,
  type Message,
  passOn,
  readInheritance
} from "../src/internal/inherit/protocol.ts"
import { variable } from "../src/internal/inherit/variable.ts"

const tcp: BoundTo = { kind: "tcp", host: "127.0.0.1", port: 8080 }
const unix: BoundTo = { kind: "unix", path: "/run/s", ownsFile: true }

describe("what a holder passes on", () => {
  it("is read as it was written, with the channel behind the sockets", () => {
    const passed = passOn({ from: "supervisor", pid: 7, generation: 2 }, [
      { name: "http", fd: 21, boundTo: tcp },
      { name: "admin", fd: 19, boundTo: unix }
    ])
    assert.deepStrictEqual(passed.stdio, [21, 19, "pipe"])
    assert.strictEqual(passed.channel, 5)
    assert.deepStrictEqual(
      readInheritance(passed.env[variable]!),
      Result.succeed({
        from: "supervisor",
        pid: 7,
        generation: 2,
        channel: 5,
        sockets: [{ name: "http", fd: 3, boundTo: tcp }, { name: "admin", fd: 4, boundTo: unix }]
      })
    )
  })

  it.each([
    "",
    "{",
    "{}",
    `{"from":"nobody"}`,
    `{"from":"supervisor","pid":1,"generation":1,"channel":0,"sockets":[]}`
  ])(
    "is refused when it is %j",
    (text) => {
      const read = readInheritance(text)
      assert.isTrue(Result.isFailure(read))
    }
  )
})

describe("the channel", () => {
  const messages: ReadonlyArray<Message> = [
    { type: "waiting", detail: "the socket \"admin\"\n" },
    { type: "prepared" },
    { type: "go", tries: 20 },
    { type: "accepting", probes: 3 },
    { type: "failed", detail: "ü" },
    { type: "close", reason: "SIGTERM", deadline: 10, queue: "leave" },
    { type: "ask", id: 1, about: "metrics", body: {} },
    { type: "answer", id: 1, body: [1] }
  ]
  const text = messages.map(encode).join("")

  it("gives the messages that were sent, wherever they are cut", () => {
    for (let size = 1; size < 12; size++) {
      const decode = makeDecoder()
      const chunks = Array.from(
        { length: Math.ceil(text.length / size) },
        (_, n) => text.slice(n * size, (n + 1) * size)
      )
      assert.deepStrictEqual(chunks.flatMap(decode), messages.map((message) => Result.succeed(message)))
    }
  })

  it("tells a line that is no message, and goes on", () => {
    const read = makeDecoder()(`ready\n{"type":"prepared"}\n{"type":"go"}\n`)
    assert.deepStrictEqual(read.map(Result.isSuccess), [false, true, false])
    assert.include(Result.isFailure(read[0]!) ? read[0].failure : "", "\"ready\"")
  })
})

describe("systemd's variables", () => {
  const read = (env: Record<string, string>) => readListenFds(env, 42)

  it("name sockets from descriptor 3 on", () => {
    assert.deepStrictEqual(
      read({ LISTEN_FDS: "2", LISTEN_PID: "42", LISTEN_FDNAMES: "http:admin" }),
      Result.succeed([{ name: "http", fd: 3 }, { name: "admin", fd: 4 }])
    )
    assert.deepStrictEqual(read({ LISTEN_FDS: "1" }), Result.succeed([{ name: "unknown", fd: 3 }]))
    assert.deepStrictEqual(read({}), Result.succeed([]))
    assert.deepStrictEqual(read({ LISTEN_PID: "1", LISTEN_FDNAMES: "http" }), Result.succeed([]))
  })

  it.each<[Record<string, string>, string]>([
    [{ LISTEN_FDS: "-1" }, "LISTEN_FDS"],
    [{ LISTEN_FDS: "1.5" }, "LISTEN_FDS"],
    [{ LISTEN_FDS: "1", LISTEN_PID: "43" }, "LISTEN_PID"],
    [{ LISTEN_FDS: "1", LISTEN_PID: "x" }, "LISTEN_PID"],
    [{ LISTEN_FDS: "2", LISTEN_FDNAMES: "http" }, "LISTEN_FDNAMES"],
    [{ LISTEN_FDS: "0", LISTEN_FDNAMES: "http" }, "LISTEN_FDNAMES"]
  ])("are not believed: %j", (env, parameter) => {
    const result = read(env)
    assert.strictEqual(Result.isFailure(result) ? result.failure.parameter : "", parameter)
  })
})

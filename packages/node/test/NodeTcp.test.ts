import type { BoundTransport } from "@effect-listener/core/Transport"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { NetAddress } from "effect/net"
import * as Fs from "node:fs"
import { portOf } from "./support/listening.ts"
import { connect } from "./support/peer.ts"
import * as Program from "./support/process.ts"
import { medianAnswer } from "./support/smallWrites.ts"

const bind = (options: NodeTcp.TransportOptions) => NodeTcp.transport(options).bind

const format = ({ address }: BoundTransport): string => NetAddress.formatSocketAddress(address)

/** Binds in a process of its own. */
const bindElsewhere = (options: NodeTcp.TransportOptions, environment: Parameters<typeof Program.start>[1]) =>
  Effect.flatMap(
    Program.start(new URL("./programs/bind.ts", import.meta.url), {
      ...environment,
      args: ["tcp", JSON.stringify(options)]
    }),
    (program) => program.event("outcome")
  )

/** A user without rights: another one where the tests run as root. */
const unprivileged = { env: process.getuid?.() === 0 ? { RUN_AS: "65534" } : {} }

/** Ports below need a privilege. */
const firstFreePort = Number(Fs.readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"))

describe("NodeTcp.transport", () => {
  it.live("serves IPv4 and IPv6 without a host, and names IPv4 clients as such", () =>
    Effect.gen(function*() {
      const bound = yield* bind({ port: 0 })
      assert.strictEqual(format(bound), `[::]:${portOf(bound.address)}`)
      for (const host of ["127.0.0.1", "::1"]) {
        const peer = yield* connect({ host, port: portOf(bound.address) })
        const connection = yield* bound.accept
        yield* connection.destroy
        assert.deepStrictEqual(
          connection.remote,
          NetAddress.inetAddressFromIpStringUnsafe(host, peer.socket.localPort ?? -1)
        )
      }
    }))

  it.live("binds what it is told", () =>
    Effect.gen(function*() {
      const four = yield* bind({ port: 0, host: "127.0.0.1" })
      assert.strictEqual(format(four), `127.0.0.1:${portOf(four.address)}`)
      const any = yield* bind({ port: 0, host: "0.0.0.0" })
      assert.strictEqual(format(any), `0.0.0.0:${portOf(any.address)}`)
      const six = yield* bind({ port: 0, host: "::1" })
      assert.strictEqual(format(six), `[::1]:${portOf(six.address)}`)
      const named = yield* bind({ port: 0, host: "localhost" })
      assert.match(format(named), /^(127\.0\.0\.1|\[::1\]):\d+$/)
      for (const bound of [four, any, six, named]) {
        yield* connect(bound.address)
        const connection = yield* bound.accept
        assert.strictEqual(connection.protocol, "tcp")
        yield* connection.destroy
      }
    }))

  it.live("with ipv6Only, refuses IPv4 clients and leaves them the port", () =>
    Effect.gen(function*() {
      const six = yield* bind({ port: 0, ipv6Only: true })
      const refused = yield* Effect.flip(connect({ host: "127.0.0.1", port: portOf(six.address) }))
      assert.include(refused.message, "ECONNREFUSED")
      const four = yield* bind({ port: portOf(six.address), host: "0.0.0.0" })
      assert.strictEqual(format(four), `0.0.0.0:${portOf(six.address)}`)
    }))

  it.live("with reusePort, shares its port", () =>
    Effect.gen(function*() {
      const one = yield* bind({ port: 0, host: "127.0.0.1", reusePort: true })
      const two = yield* bind({ port: portOf(one.address), host: "127.0.0.1", reusePort: true })
      assert.strictEqual(format(one), format(two))
    }))

  it.live.each(
    [
      ["port", { port: -1 }],
      ["port", { port: 65_536 }],
      ["port", { port: 1.5 }],
      ["port", { port: NaN }],
      ["port", { port: Infinity }],
      // from JavaScript
      ["port", { port: "80" as unknown as number }],
      ["host", { port: 0, host: "" }],
      ["host", { port: 0, host: "a\0b" }],
      ["host", { port: 0, host: null as unknown as string }],
      ["backlog", { port: 0, backlog: 0 }],
      ["backlog", { port: 0, backlog: -1 }],
      ["backlog", { port: 0, backlog: 1.5 }],
      ["backlog", { port: 0, backlog: NaN }],
      ["backlog", { port: 0, backlog: 2 ** 31 }],
      ["keepAlive", { port: 0, keepAlive: 999 }],
      ["keepAlive", { port: 0, keepAlive: "-1 seconds" }],
      ["keepAlive", { port: 0, keepAlive: Infinity }],
      ["keepAlive", { port: 0, keepAlive: "soon" as "1 second" }]
    ] as const
  )("fails with InvalidArgument on a bad %s: %j", ([parameter, options]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(bind(options))
      assert.strictEqual(error._tag === "InvalidArgument" && error.parameter, parameter)
    }))

  it.live("sends small writes at once, unless told not to", () =>
    Effect.gen(function*() {
      const answer = (options: Partial<NodeTcp.TransportOptions>) =>
        Effect.gen(function*() {
          const bound = yield* bind({ port: 0, host: "127.0.0.1", ...options })
          const peer = yield* connect(bound.address)
          const connection = yield* bound.accept
          return yield* Effect.ensuring(medianAnswer(connection, peer), connection.destroy)
        })
      // the kernel holds back b until the peer has acknowledged a, which it does after 40 ms
      assert.isBelow(2 * (yield* answer({})), yield* answer({ noDelay: false }))
    }))

  it.live("takes every good option", () =>
    Effect.gen(function*() {
      const several = { noDelay: false, keepAlive: true, halfOpen: false, backlog: 1 } as const
      for (const options of [several, { keepAlive: "30 seconds", backlog: 2 ** 31 - 1 } as const]) {
        const bound = yield* bind({ port: 0, ...options })
        const peer = yield* connect({ host: "127.0.0.1", port: portOf(bound.address) })
        assert.strictEqual(portOf((yield* bound.accept).remote), peer.socket.localPort)
      }
    }))

  it.live("fails with AddressInUse where a process listens, naming the address", () =>
    Effect.gen(function*() {
      const bound = yield* bind({ port: 0, host: "127.0.0.1" })
      const error = yield* Effect.flip(bind({ port: portOf(bound.address), host: "127.0.0.1" }))
      assert.deepInclude(error, { _tag: "AddressInUse", address: format(bound) })
      const onAll = yield* Effect.flip(bind({ port: portOf(bound.address) }))
      assert.deepInclude(onAll, { _tag: "AddressInUse", address: `[::]:${portOf(bound.address)}` })
      yield* connect(bound.address)
      yield* Effect.flatMap(bound.accept, (connection) => connection.destroy)
    }))

  it.live.each(["192.0.2.1", "no.such.host.invalid", "256.1.1.1"])(
    "fails with AddressNotAvailable on a host that is not this one: %s",
    (host) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(bind({ port: 8080, host }))
        assert.deepInclude(error, { _tag: "AddressNotAvailable", address: `${host}:8080` })
      })
  )

  it.live("fails with AccessDenied on a port that needs a privilege", () =>
    Effect.gen(function*() {
      const outcome = yield* bindElsewhere({ port: 1, host: "127.0.0.1" }, unprivileged)
      assert.strictEqual(outcome["_tag"], firstFreePort > 1 ? "AccessDenied" : "Bound")
    }))

  it.live("fails with QuotaExceeded when the process has no file descriptor left", () =>
    Effect.gen(function*() {
      const outcome = yield* bindElsewhere({ port: 0 }, { descriptors: 64, env: { EXHAUST: "1" } })
      assert.deepInclude(outcome, { _tag: "QuotaExceeded", quota: "file descriptors of the process" })
    }))
})

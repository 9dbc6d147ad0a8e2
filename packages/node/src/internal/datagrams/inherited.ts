/**
 * Receiving from a socket that this process was started with.
 */
import { TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import type * as Dgram from "node:dgram"
import * as Fs from "node:fs"
import * as Net from "node:net"
import type { SharedSocket } from "../inherit/sharedSocket.ts"
import { formatHostPort } from "../platform/hostPort.ts"

/**
 * Which kind of `node:dgram` socket a descriptor is of, which has to be known
 * before it is bound: the system's tables say it on Linux, where launchers pass
 * sockets; elsewhere the host that was asked for does.
 */
export const typeOf = (fd: number, host: string | undefined): Dgram.SocketType => {
  const inode = Fs.fstatSync(fd).ino
  const isIn = (table: string): boolean => rows(table).some((row) => Number(row.trim().split(/\s+/)[9]) === inode)
  if (isIn("/proc/net/udp6")) return "udp6"
  if (isIn("/proc/net/udp")) return "udp4"
  return host !== undefined && Net.isIPv6(host) ? "udp6" : "udp4"
}

const rows = (table: string): ReadonlyArray<string> => {
  try {
    return Fs.readFileSync(table, "utf8").split("\n")
  } catch {
    // a container may hide it
    return []
  }
}

/** Completes when the process may receive. */
export const passed = ({ gate }: SharedSocket): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const cancel = gate.whenOpen(() => resume(Effect.void))
    return Effect.sync(cancel)
  })

/** Fails when the socket is bound elsewhere than it was asked for; port 0 and no host agree with any. */
export const checkBound = (
  wanted: { readonly host?: string | undefined; readonly port: number },
  bound: { readonly address: string; readonly port: number }
): Effect.Effect<void, TransportBindError> => {
  const host = wanted.host !== undefined && Net.isIP(wanted.host) !== 0 ? wanted.host : bound.address
  const port = wanted.port === 0 ? bound.port : wanted.port
  return port === bound.port && sameAddress(host, bound.address) ? Effect.void : Effect.fail(
    TransportBindError.InvalidArgument({
      parameter: "inherit",
      detail: `the inherited socket is bound to ${formatHostPort(bound.address, bound.port)}, not to ${
        formatHostPort(host, port)
      }`
    })
  )
}

const sameAddress = (one: string, other: string): boolean => {
  const family = Net.isIP(one)
  if (family !== Net.isIP(other)) return false
  const list = new Net.BlockList()
  list.addAddress(one, family === 6 ? "ipv6" : "ipv4")
  return list.check(other, family === 6 ? "ipv6" : "ipv4")
}

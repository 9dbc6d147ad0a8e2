/**
 * Reads the header that a proxy sends first on a socket, and gives the socket
 * the addresses that the header names. What follows the header stays unread.
 */
import { SecurityFailure } from "@effect-listener/core/ListenerError"
import * as Effect from "effect/Effect"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import type * as Socket from "effect/socket/Socket"
import type * as Net from "node:net"
import { afterWholeReading } from "../platform/eventLoop.ts"
import { endedByPeer, notOpen } from "../platform/socketErrors.ts"
import { type Endpoint, parse, type ParsedHeader, type ParseOptions } from "./header.ts"

/** Checked options, with times in milliseconds. */
export interface IntroductionOptions extends ParseOptions {
  /** Which peers are believed; all of them when absent. */
  readonly from: ReadonlyArray<IpNetwork.IpNetwork> | undefined
  readonly others: "refuse" | "plain"
  readonly timeout: number
}

/** What a socket has been introduced by. */
export interface Introduced extends ParsedHeader {
  /** The peer: the proxy. */
  readonly via: NetAddress.SocketAddress
}

const introducedBy: unique symbol = Symbol("@effect-listener/node/introducedBy")

interface IntroducedSocket extends Net.Socket {
  [introducedBy]?: Introduced
}

/** The header a socket began with. */
export const introductionOf = (socket: Net.Socket): Introduced | undefined => (socket as IntroducedSocket)[introducedBy]

/** Gives the socket on top of an introduced one the same addresses. */
export const inheritIntroduction = (socket: Net.Socket, below: Net.Socket): void => {
  const introduced = introductionOf(below)
  if (introduced !== undefined) name(socket, introduced)
}

type IntroductionError = SecurityFailure | Socket.SocketError

/**
 * Completes when the socket, which is paused and was never read, has its
 * client's addresses. Fails with a `SocketCloseError` of code 1000 when the
 * peer leaves without a byte, as health checks do.
 */
export const introduce = (
  socket: Net.Socket,
  peer: NetAddress.SocketAddress,
  options: IntroductionOptions
): Effect.Effect<void, IntroductionError> =>
  Effect.suspend(() => {
    if (isBelieved(peer, options.from)) return readHeader(socket, peer, options)
    return options.others === "plain" ? Effect.void : Effect.fail(refusal("the peer is not one of `from`"))
  })

const isBelieved = (peer: NetAddress.SocketAddress, from: IntroductionOptions["from"]): boolean =>
  from === undefined ||
  (NetAddress.isInetAddress(peer) && from.some((network) => IpNetwork.contains(network, peer.address)))

const refusal = (detail: string): SecurityFailure =>
  new SecurityFailure({ operation: "proxyProtocol", listener: "", trail: [], detail })

const readHeader = (
  socket: Net.Socket,
  peer: NetAddress.SocketAddress,
  options: IntroductionOptions
): Effect.Effect<void, IntroductionError> =>
  Effect.callback((resume) => {
    let held: Buffer = Buffer.alloc(0)
    let stopped = false
    const stop = () => {
      stopped = true
      clearTimeout(timer)
      socket.off("readable", look).off("end", onEnd).off("close", onClose)
      // without a listener of `readable` a socket would flow
      socket.pause()
    }
    const fail = (error: IntroductionError) => {
      stop()
      resume(Effect.fail(error))
    }
    const look = () => {
      for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
        held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
      }
      const parsed = parse(held, options)
      if (parsed._tag === "More") return
      if (parsed._tag === "Refused") return fail(refusal(parsed.detail))
      stop()
      if (held.length > parsed.length) socket.unshift(held.subarray(parsed.length))
      name(socket, { ...parsed.header, via: peer })
      resume(Effect.void)
    }
    const onEnd = () => fail(held.length === 0 ? endedByPeer() : refusal("the peer left in the middle of its header"))
    const onClose = () => fail(held.length === 0 ? endedByPeer() : notOpen())
    const timer = setTimeout(() => {
      // a busy process may find the time over before it has read what came in time
      afterWholeReading(() => {
        if (!stopped) fail(refusal(`no header within ${options.timeout} ms`))
      })
    }, options.timeout)
    socket.on("readable", look).on("end", onEnd).on("close", onClose)
    if (socket.destroyed) onClose()
    return Effect.sync(stop)
  })

const name = (socket: Net.Socket, introduced: Introduced): void => {
  const named = socket as IntroducedSocket
  named[introducedBy] = introduced
  if (introduced.proxied === undefined) return
  const { destination, source } = introduced.proxied
  // accessors of the prototype that ask the system: request handlers and logs read these
  Object.defineProperties(socket, { ...properties("remote", source), ...properties("local", destination) })
}

const properties = (side: "remote" | "local", { address, port }: Endpoint): PropertyDescriptorMap => ({
  [`${side}Address`]: { value: address, configurable: true },
  [`${side}Port`]: { value: port, configurable: true },
  [`${side}Family`]: { value: address.includes(":") ? "IPv6" : "IPv4", configurable: true }
})

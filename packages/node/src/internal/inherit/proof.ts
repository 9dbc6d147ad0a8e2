/**
 * The proof that connections to a shared address reach this process: it connects
 * to the address until it accepts such a connection itself.
 */
import * as Net from "node:net"
import { reachableHost } from "../socket/reachableHost.ts"
import type { BoundTo } from "./protocol.ts"

/** What a listening socket tells of what it accepts, while it is asked to. */
export interface Provable {
  readonly boundTo: BoundTo
  /** Called with each socket that is accepted; answers whether it is one of our own, which is kept from listeners. */
  probing: ((socket: Net.Socket) => boolean) | undefined
}

/**
 * How many connections are made at once: an idle predecessor is awake first, and
 * takes the first of them, but accepts one a turn.
 */
const together = 4

/** How long after the first the next are tried (ms), and twice as long after those: a busy machine takes its time. */
const between = 25

/** How long the last connections may take to be accepted (ms). */
const proofLimit = 5000

/** Calls back with the number of connections it took, or without one where none was accepted here. */
export const prove = (socket: Provable, tries: number, done: (probes: number | undefined) => void): void => {
  const clients = new Set<Net.Socket>()
  const ports = new Set<number | undefined>()
  /** Whose connections were accepted, and could not be told from others. */
  const seen = new Set<number | undefined>()
  let over = false
  let probes = 0
  let pause = between
  let timer: NodeJS.Timeout | undefined

  const end = (result: number | undefined): void => {
    if (over) return
    over = true
    clearTimeout(timer)
    socket.probing = undefined
    for (const client of clients) client.destroy()
    done(result)
  }
  socket.probing = (accepted) => {
    if (socket.boundTo.kind === "unix") {
      // its clients have no names: that this process accepts is all that can be seen
      setImmediate(() => end(probes))
      socket.probing = undefined
      return false
    }
    if (!ports.has(accepted.remotePort)) {
      // a client's connection shows it as well, where a busy predecessor has taken all of our own
      seen.add(accepted.remotePort)
      if (probes >= tries) setImmediate(() => end(probes))
      return false
    }
    accepted.destroy()
    end(probes)
    return true
  }
  const probe = (): void => {
    probes++
    const client = Net.connect(addressOf(socket.boundTo))
    clients.add(client)
    client.on("error", () => {})
    // its port is known once it is on its way, which is before anything is accepted; asked for sooner, Node would
    // remember that there is none
    process.nextTick(() => process.nextTick(() => ports.add(client.localPort)))
    client.on("connect", () => {
      ports.add(client.localPort)
      if (socket.probing !== undefined && seen.has(client.localPort)) end(probes)
    })
  }
  const next = (): void => {
    if (probes >= tries) {
      if (seen.size > 0) return end(probes)
      timer = setTimeout(end, proofLimit, undefined)
      return
    }
    for (let left = Math.min(together, tries - probes); left > 0; left--) probe()
    timer = setTimeout(next, pause)
    pause *= 2
  }
  next()
}

/** Where a client of this machine reaches it. */
const addressOf = (boundTo: BoundTo): Net.NetConnectOpts =>
  boundTo.kind === "unix"
    ? { path: boundTo.path }
    : { port: boundTo.port, host: reachableHost(boundTo.host) }

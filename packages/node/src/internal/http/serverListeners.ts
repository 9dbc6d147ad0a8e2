/**
 * What a server of Node's gets for as long as a listener gives it sockets: it is
 * the application's own, and is left as it was.
 */
import type { EventEmitter } from "node:events"
import type * as Http from "node:http"
import * as Net from "node:net"
import type { NodeServer } from "./nodeHttpServers.ts"

/** Each event has parameters of its own. */
type Handler = Parameters<EventEmitter["on"]>[1]

/** Listeners and members of servers, which go together. */
export class ServerListeners {
  private readonly undo: Array<() => void> = []

  on(server: NodeServer, event: string, handler: Handler): void {
    server.on(event, handler)
    this.undo.push(() => server.off(event, handler))
  }

  prepend(server: NodeServer, event: string, handler: Handler): void {
    server.prependListener(event, handler)
    this.undo.push(() => server.off(event, handler))
  }

  /** In place of what Node does where there is no listener; others are left to do it. */
  onUnlessOthers(server: NodeServer, event: string, handler: Handler): void {
    this.on(server, event, (...args) => {
      if (server.listenerCount(event) === 1) handler(...args)
    })
  }

  /** Gives a member another value; only where the server has it. */
  set(server: NodeServer, name: string, value: unknown): void {
    if (!(name in server)) return
    const before: unknown = Reflect.get(server, name)
    Reflect.set(server, name, value)
    this.undo.push(() => Reflect.set(server, name, before))
  }

  /** Marks a server for as long. */
  mark(server: NodeServer, name: symbol): void {
    Reflect.set(server, name, true)
    this.undo.push(() => Reflect.set(server, name, false))
  }

  remove(): void {
    for (const undo of this.undo.splice(0)) undo()
  }
}

/** Node from 24.9 on asks a server which offers of an upgrade it takes. */
interface AskedForUpgrades {
  shouldUpgradeCallback: (request: Http.IncomingMessage) => boolean
}

export const hasCallbackForUpgrades = (server: object): server is AskedForUpgrades =>
  "shouldUpgradeCallback" in server && typeof server.shouldUpgradeCallback === "function"

/**
 * Whether a server that has `open` sockets drops this one. Node decides that where it accepts, by a limit and a list
 * that may change while the server runs. The server's `drop` listeners are called.
 */
export const isDropped = (server: NodeServer, socket: Net.Socket, open: number): boolean => {
  const { maxConnections } = server
  const tooMany = typeof maxConnections === "number" && open > maxConnections
  if (!tooMany && !isBlocked(server, socket)) return false
  const { localAddress, localFamily, localPort, remoteAddress, remoteFamily, remotePort } = socket
  server.emit("drop", { localAddress, localFamily, localPort, remoteAddress, remoteFamily, remotePort })
  return true
}

const isBlocked = (server: object, { remoteAddress, remoteFamily }: Net.Socket): boolean =>
  "blockList" in server && server.blockList instanceof Net.BlockList && remoteAddress !== undefined &&
  server.blockList.check(remoteAddress, remoteFamily === "IPv6" ? "ipv6" : "ipv4")

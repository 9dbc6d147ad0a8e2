/**
 * All that this package uses of Node beyond its documentation, in one place:
 * what each is for, how it is looked for, and what happens where it is not.
 *
 * What is essential is looked for when a listener opens, and `open` fails with
 * `NotSupported` and the name of what is missing; what is not is done without.
 */
import * as Http from "node:http"
import * as Net from "node:net"
import type { Writable } from "node:stream"
import * as Tls from "node:tls"

/** What opens only where all it needs is there. */
export type User = "tls" | "http"

/** One thing that is used of Node. */
export interface PrivateApi {
  readonly name: string
  readonly usedFor: string
  /** What cannot be opened without it; nothing where it is done without. */
  readonly essentialTo: User | undefined
  readonly without: string
  /** Whether it is there. Looked at once a process. */
  readonly present: () => boolean
}

export const privateApis: ReadonlyArray<PrivateApi> = [
  {
    name: "_parent of tls.TLSSocket",
    usedFor: "finding the TCP socket that `tls.Server` has made a TLS socket of, which it does not tell",
    essentialTo: "tls",
    without: "no handshake would ever be done",
    present: () => {
      const tcp = new Net.Socket()
      const secure = new Tls.TLSSocket(tcp, { isServer: true, secureContext: Tls.createSecureContext() })
      const present = tcpSocketOf(secure) === tcp
      secure.destroy()
      tcp.destroy()
      return present
    }
  },
  {
    name: "keeping a connection that was given to an HTTP server",
    usedFor:
      "serving sockets that a listener has accepted: `server.emit(\"connection\", socket)` is documented, and what becomes of the socket is not",
    essentialTo: "http",
    // Deno 2.9 closes it after the first answer: the client's second request is reset
    without: "the second request on a connection would be reset",
    present: () => !("deno" in process.versions)
  },
  {
    name: "the listener of \"listening\" of http.Server",
    usedFor:
      "arming the limits of heads and requests, which Node does when its server begins to listen, and this one never does",
    essentialTo: "http",
    without: "half a request would be waited for for ever",
    present: () => Http.createServer().listenerCount("listening") > 0
  },
  {
    name: "_last of http.ServerResponse",
    usedFor: "knowing that a response ends its connection, so that what comes after it is not executed",
    essentialTo: "http",
    without: "requests would be executed whose answers are dropped",
    present: () => typeof internalsOf(new Http.OutgoingMessage())._last === "boolean"
  },
  {
    name: "destroySoon and push of net.Socket, detachSocket of http.ServerResponse",
    usedFor:
      "lingering where Node would destroy a socket, noticing the end of a client that is not read, and the end of an answer",
    essentialTo: "http",
    without: "answers would be reset away, and the drain would not know what is in flight",
    present: () =>
      hasMethod(Net.Socket.prototype, "destroySoon") && hasMethod(Net.Socket.prototype, "push") &&
      hasMethod(Http.ServerResponse.prototype, "detachSocket")
  },
  {
    name: "_expect_continue of http.ServerResponse",
    usedFor: "keeping a connection whose client was answered before it was told to send its body, and has sent it",
    essentialTo: undefined,
    without: "that connection ends after the answer, which says so",
    present: () => true
  },
  {
    name: "the \"state symbol\" of dgram.Socket",
    usedFor: "leaving datagrams in the kernel for another process while the last answers go out",
    essentialTo: undefined,
    without: "what comes in that moment is dropped and counted",
    present: () => true
  },
  {
    name: "_handle.listen of net.Server, _handle.getpeername of net.Socket",
    usedFor: "keeping clients out of the accept queue of a socket that is closed",
    essentialTo: undefined,
    without: "clients that connect in that moment are reset",
    present: () => true
  },
  {
    name: "_handle.setBlocking of a terminal's stream",
    usedFor: "writing to a terminal that is stopped by Ctrl-S without stopping the process",
    essentialTo: undefined,
    without: "the process stops with the terminal, as all of Node's do",
    present: () => true
  },
  {
    name: "_writev of a stream",
    usedFor: "keeping the chunks that wait on a stream of HTTP/2 apart, so that each is seen to go out",
    essentialTo: undefined,
    without: "a stream that stands still beside others is ended later",
    present: () => true
  }
]

const hasMethod = (prototype: object, name: string): boolean => typeof Reflect.get(prototype, name) === "function"

/** What is missing here for this use, in words for `NotSupported`; nothing where all is there. */
export const missingFor = (
  user: User,
  apis: ReadonlyArray<PrivateApi> = privateApis
): string | undefined => {
  const missing = apis.find((api) => api.essentialTo === user && !isPresent(api))
  return missing === undefined
    ? undefined
    : `${user} on ${runtime()} (without ${missing.name}, ${missing.without})`
}

const looked = new Map<PrivateApi, boolean>()

const isPresent = (api: PrivateApi): boolean => {
  let present = looked.get(api)
  if (present === undefined) looked.set(api, present = answers(api))
  return present
}

const answers = ({ present }: PrivateApi): boolean => {
  try {
    return present()
  } catch {
    return false
  }
}

const runtime = (): string => {
  const { bun, deno } = process.versions
  return deno !== undefined ? `Deno ${deno}` : bun !== undefined ? `Bun ${bun}` : `Node ${process.version}`
}

// --- the things themselves -----------------------------------------------------------------------------------------

/** The TCP socket that a TLS socket was made of by a server. */
export const tcpSocketOf = (secure: Net.Socket): Net.Socket | undefined =>
  (secure as { readonly _parent?: Net.Socket | null })._parent ?? undefined

/** What Node's responses know of themselves. */
interface ResponseInternals {
  readonly _last?: boolean
  _expect_continue?: boolean
}

const internalsOf = (response: Http.OutgoingMessage): ResponseInternals => response as unknown as ResponseInternals

/** The connection ends after this response, whose head is written. */
export const isLast = (response: Http.OutgoingMessage): boolean => internalsOf(response)._last === true

/** The client has sent its body without having been told to. */
export const forgetExpectation = (response: Http.OutgoingMessage): void => {
  internalsOf(response)._expect_continue = false
}

/** Arms the time-outs of a server that never listens. */
export const armTimeouts = (server: Net.Server): void => {
  server.emit("listening")
}

/** The part of a datagram socket's handle that is used here. */
export interface UdpHandle {
  readonly recvStop: () => void
}

/** The handle is behind the symbol that `node:dgram` keeps its state under, the same in Node 22 to 26. */
export const udpHandleOf = (socket: object): UdpHandle | undefined => {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === "state symbol")
  if (symbol === undefined) return undefined
  // what is behind a symbol of Node's has no type: everything is looked at before it is used
  const state: unknown = Reflect.get(socket, symbol)
  const handle: unknown = typeof state === "object" && state !== null ? Reflect.get(state, "handle") : undefined
  return isUdpHandle(handle) ? handle : undefined
}

const isUdpHandle = (handle: unknown): handle is UdpHandle =>
  typeof handle === "object" && handle !== null && typeof Reflect.get(handle, "recvStop") === "function"

/** Chunks that wait on the stream are written one after another, and not joined. */
export const writeApart = (stream: Writable): void => {
  Object.assign(stream, { _writev: null })
}

/** The part of a TCP socket's handle that is used here. */
interface TcpHandle {
  readonly listen?: (backlog: number) => number
  readonly getpeername?: (peer: object) => number
}

/** Leaves the least room in the accept queue that there is, one connection. Answers whether it could. */
export const shortenQueue = (server: Net.Server): boolean => tcpHandleOf(server)?.listen?.(0) === 0

const tcpHandleOf = (socket: object): TcpHandle | undefined =>
  (socket as { readonly _handle?: TcpHandle | null })._handle ?? undefined

/** Whether the handshake of a socket is done, before its event says so. */
export const isConnected = (socket: Net.Socket): boolean => tcpHandleOf(socket)?.getpeername?.({}) === 0

/** Whether writes to a terminal wait for it. */
export const setBlocking = (stream: NodeJS.WriteStream, blocking: boolean): void => {
  const { _handle: handle } = stream as { readonly _handle?: { readonly setBlocking?: (blocking: boolean) => number } }
  handle?.setBlocking?.(blocking)
}

/**
 * What the sockets and responses of all HTTP/1 connections call in place of
 * Node's own: one function each, not one a connection.
 */
import * as Http from "node:http"
import * as Net from "node:net"
import { forgetExpectation } from "../../platform/privateNode.ts"
import { httpConnectionOf } from "../httpConnection.ts"

// --- sockets -----------------------------------------------------------------------------------------------------

export const hookSocket = (socket: Net.Socket): void => {
  // Node's own destroys the socket as soon as all is flushed, which resets a client that is still sending
  socket.destroySoon = onDestroySoon
  socket.end = onEnd
  socket.push = onPush
  socket.destroy = onDestroy
}

/** HTTP/1 on a connection, as far as its hooks know it. */
export abstract class HookedHttp1 {
  abstract readonly closeDelimited: boolean
  abstract end(): void
  abstract ended(): void
  abstract resetAnswer(): void
  abstract answered(response: Http.ServerResponse): void
  abstract discard(request: Http.IncomingMessage): void
  abstract closeAfterNewest(): void
}

function onDestroySoon(this: Net.Socket): void {
  spokenOn(this)?.end()
}

/** The HTTP/1 that is spoken on a socket. */
const spokenOn = (socket: Net.Socket): HookedHttp1 | undefined => {
  const protocol = httpConnectionOf(socket)?.current
  return protocol instanceof HookedHttp1 ? protocol : undefined
}

/**
 * Node's server ends its side once more when the peer ends: an unseen error that takes 30 µs to make. It also
 * ends it in the middle of an answer, and some answers would look whole.
 */
const onEnd: Net.Socket["end"] = function(this: Net.Socket, ...args: [never]) {
  const { length }: ReadonlyArray<unknown> = args
  if (length === 0 && this.writableEnded) return this
  const protocol = spokenOn(this)
  if (length === 0 && protocol?.closeDelimited === true) protocol.resetAnswer()
  else {
    if (!this.readableEnded) protocol?.ended()
    // the arguments are passed on as they came, whichever overload they are for
    inherited(this).end.apply(this, args)
  }
  return this
}

/** What a method of a socket or a response does on its class, which may be the application's own. */
const inherited = <A extends object>(value: A): A => Object.getPrototypeOf(value)

/** Both sides have ended: there is nothing to wait for, and only tunnels have to be told. */
function onPush(this: Net.Socket, chunk: unknown, encoding?: BufferEncoding): boolean {
  if (chunk !== null || !this.writableFinished || spokenOn(this) === undefined) {
    return Net.Socket.prototype.push.call(this, chunk, encoding)
  }
  this.destroy()
  return false
}

/** A FIN in the middle of an answer without a length says that it is whole. */
function onDestroy(this: Net.Socket, error?: Error): Net.Socket {
  const protocol = spokenOn(this)
  // the reset comes by here again
  if (protocol?.closeDelimited === true) protocol.resetAnswer()
  return inherited(this).destroy.call(this, error)
}

/** Each request that comes makes Node read on, by an event that comes later: its own listener stops the reading again. */
export function holdOn(this: Net.Socket): void {
  this.pause()
  // of a socket that was paused meanwhile Node would not hear it
  this.emit("pause")
}

// --- responses ---------------------------------------------------------------------------------------------------

export const hookResponse = (response: Http.ServerResponse): void => {
  if (!(response instanceof Response)) response.detachSocket = onDetach
}

/** Bytes that cost less to copy than a second piece of a write: 9 % of the CPU of requests that are pipelined. */
const small = 512

/** The responses of servers of our own making: on those of others, each gets `onDetach`, which takes longer. */
export class Response<Request extends Http.IncomingMessage = Http.IncomingMessage>
  extends Http.ServerResponse<Request>
{
  override detachSocket(socket: Net.Socket): void {
    spokenOn(socket)?.answered(this)
    super.detachSocket(socket)
  }

  /** Node joins a head and a string to one piece of a write; a head and bytes are two. */
  override end(chunk?: unknown, encoding?: unknown, callback?: unknown): this {
    if (encoding === undefined && callback === undefined && chunk instanceof Uint8Array && chunk.length <= small) {
      const { buffer, byteLength, byteOffset } = chunk
      return super.end(Buffer.from(buffer, byteOffset, byteLength).toString("latin1"), "latin1")
    }
    // the arguments are passed on as they came, whichever overload they are for
    return super.end(chunk, encoding as BufferEncoding, callback as () => void)
  }
}

function onDetach(this: Http.ServerResponse, socket: Net.Socket): void {
  spokenOn(socket)?.answered(this)
  inherited(this).detachSocket.call(this, socket)
}

/** The socket is answered in another way: what works for this response is told that its client has gone. */
export const abandonResponse = (response: Http.ServerResponse, socket: Net.Socket): void => {
  response.detachSocket(socket)
  response.destroy()
  response.emit("close")
}

/** The head of an answer to a request with a body. */
export const onBodyHead: Http.ServerResponse["writeHead"] = function(this: Http.ServerResponse, ...args: [never]) {
  prepareHead(this)
  // the arguments are passed on as they came, whichever overload they are for
  return inherited(this).writeHead.apply(this, args)
}

const prepareHead = (response: Http.ServerResponse): void => {
  // before the listener of Effect's handler, which would destroy the socket half a second later
  if (!response.req.complete) response.prependListener("finish", onEarlyAnswer)
  // Node would end the connection, because a client that was not told to send its body may or may not send it
  else forgetExpectation(response)
}

function onEarlyAnswer(this: Http.ServerResponse): void {
  const { req } = this
  if (req.complete || req.destroyed) return
  // the rest of the body is ours: Effect's handler leaves a complete request alone
  req.complete = true
  spokenOn(req.socket)?.discard(req)
}

/** The head of an answer that others follow: it must not end the connection. */
export const onPipelinedHead: Http.ServerResponse["writeHead"] = function(
  this: Http.ServerResponse,
  ...args: Array<unknown>
) {
  prepareHead(this)
  const headers = args.at(-1)
  const closing = closes(headers)
  if (closing || !this.shouldKeepAlive) spokenOn(this.req.socket)?.closeAfterNewest()
  this.shouldKeepAlive = true
  const kept = closing ? [...args.slice(0, -1), withoutConnection(headers)] : args
  // the arguments are passed on as they came, whichever overload they are for
  return inherited(this).writeHead.apply(this, kept as [never])
}

/** Whether the headers given to `writeHead` say `Connection: close`. */
const closes = (headers: unknown): headers is object =>
  typeof headers === "object" && headers !== null && !Array.isArray(headers) &&
  Object.entries(headers).some(([name, value]) => isConnection(name) && /\bclose\b/i.test(String(value)))

const isConnection = (name: unknown): boolean => typeof name === "string" && name.toLowerCase() === "connection"

const withoutConnection = (headers: object): object =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !isConnection(name)))

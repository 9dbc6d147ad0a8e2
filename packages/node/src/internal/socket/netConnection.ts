/**
 * A `net.Socket` as a `TransportConnection`.
 */
import type { FastConnection, LingerOptions, PullWatcher, TransportConnection } from "@effect-listener/core/Transport"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import type * as Net from "node:net"
import { closeError, endedByPeer, notOpen, readError } from "../platform/socketErrors.ts"
import { introduce, introductionOf } from "../proxyProtocol/introduction.ts"
import { watchDeparture } from "./departure.ts"
import { endOurSide, goodbye, lingerAndClose, LingeringClose } from "./goodbye/lingeringClose.ts"
import { type Input, NetReader, type Waiting } from "./netReader.ts"
import { NetWriter, type Output } from "./netWriter.ts"
import { acceptedSocket, type NetConnectionOptions, nodeSocket } from "./nodeSocket.ts"
import { readBuffered } from "./readBuffered.ts"
import { Wakers } from "./wakers.ts"

/** A reader or a writer that was acquired, and the one that the same scope has acquired before. */
interface Acquired {
  readonly one: NetReader | NetWriter
  readonly before: Acquired | undefined
}

/** What one scope has acquired of a connection. */
interface Acquisitions {
  readonly scope: Scope.Scope
  latest: Acquired | undefined
}

/** How the listeners of all sockets, one function each, find the connection of theirs. */
const connectionOf: unique symbol = Symbol("@effect-listener/node/connectionOf")

interface OwnedSocket extends Net.Socket {
  /** Until it is released. */
  [connectionOf]: NetConnection | undefined
}

/**
 * One connection: one object, and listeners that all connections share. The
 * reading listeners are attached by the first pull, which is what starts
 * reading; those for backpressure by the first write that has to wait; that for
 * the FIN by the goodbye.
 *
 * The socket flows while a pull waits for it. What comes when none does goes
 * back to the front of the socket's own buffer, and the socket is paused until
 * a pull has emptied that: so there is one place where input is, whose end and
 * limit are Node's.
 *
 * All that wait are woken to look again. So each decision is made in one
 * place, from the socket's state, and being woken for nothing does no harm.
 */
export class NetConnection implements TransportConnection, FastConnection, Input, Output {
  readonly netSocket: Net.Socket
  private readonly options: NetConnectionOptions
  /** With which error every pull fails from now on. */
  readError: Socket.SocketError | undefined
  private reading = false
  /** The waits in line. There is hardly ever a second, and an array is a fifth more of what a message allocates. */
  private first: Waiting | undefined
  private later: Array<Waiting> | undefined
  private watcher: PullWatcher | undefined
  /** What came during a sweep waits for its end. */
  private held = false
  arrived: Uint8Array | undefined
  /** The socket gives a chunk to `take`. */
  private taking = false
  /** Told what the socket tells while it ends. */
  private closing: LingeringClose | undefined
  private lazyRoom: Wakers | undefined
  private ending = false
  private lazySocket: Socket.Socket | undefined
  private acquisitions: Acquisitions | undefined

  constructor(netSocket: Net.Socket, options: NetConnectionOptions) {
    this.netSocket = netSocket
    this.options = options
    // the listeners below are only ever called on this socket, once it has its connection
    const owned = netSocket as OwnedSocket
    owned[connectionOf] = this
    owned.on("error", onError)
    owned.on("close", onClose)
  }

  get protocol(): string {
    return this.options.protocol
  }
  get [nodeSocket](): Net.Socket {
    return this.netSocket
  }
  get remote(): NetAddress.SocketAddress {
    return this.options.remote(this.netSocket)
  }
  get local(): NetAddress.SocketAddress {
    return this.options.local(this.netSocket)
  }
  get via(): NetAddress.SocketAddress | undefined {
    return this.options.introduction === undefined ? undefined : introductionOf(this.netSocket)?.via
  }
  get introduced(): TransportConnection["introduced"] {
    const { introduction } = this.options
    return introduction === undefined ? undefined : introduce(this.netSocket, this.remote, introduction)
  }
  get [acceptedSocket](): Net.Socket {
    return this.netSocket
  }
  get ready(): TransportConnection["ready"] {
    return Effect.void
  }
  get settled(): Effect.Effect<void> {
    return this.options.pollPhase.passed
  }
  get socket(): Socket.Socket {
    return this.lazySocket ??= Socket.make({
      reader: this.scoped(newReader),
      writer: this.scoped(newWriter)
    })
  }

  /**
   * `acquireRelease` of a reader or writer. What one scope acquires shares a
   * finalizer: a scope with one is closed several times as fast as with two.
   */
  private scoped<A extends Acquired["one"]>(make: (connection: this) => A): Effect.Effect<A, never, Scope.Scope> {
    return Effect.withFiber((fiber) => {
      const one = make(this)
      const scope = Context.getUnsafe(fiber.context, Scope.Scope)
      const { acquisitions } = this
      if (acquisitions !== undefined && acquisitions.scope === scope && scope.state._tag === "Open") {
        acquisitions.latest = { one, before: acquisitions.latest }
        return Effect.succeed(one)
      }
      const acquired: Acquisitions = { scope, latest: { one, before: undefined } }
      this.acquisitions = acquired
      const releasing = Scope.addFinalizerExit(scope, () => {
        for (let { latest } = acquired; latest !== undefined; latest = latest.before) latest.one.release()
        return Effect.void
      })
      return Effect.as(releasing, one)
    })
  }

  get fast(): FastConnection {
    return this
  }
  get owner(): TransportConnection {
    return this
  }

  /** What Node's stream holds includes what libuv holds: a write leaves it when the kernel has its last byte. */
  bytesPending(): number {
    return this.netSocket.writableLength
  }
  bytesIn(): number {
    return this.netSocket.bytesRead
  }
  bytesOut(): number {
    return this.netSocket.bytesWritten
  }

  // --- reading ---------------------------------------------------------------------------------------------------

  get failure(): Socket.SocketError | undefined {
    const { destroyed, errored } = this.netSocket
    return this.readError ?? (errored !== null ? readError(errored) : destroyed ? notOpen() : undefined)
  }

  get buffered(): boolean {
    return this.netSocket.readableLength > 0
  }

  take(): Uint8Array | undefined {
    const arrived = this.arrived
    if (arrived !== undefined) {
      this.arrived = undefined
      return arrived
    }
    // Node emits what is read as `data`, too
    this.taking = true
    const chunk = readBuffered(this.netSocket)
    this.taking = false
    return chunk ?? undefined
  }

  startReading(): void {
    if (this.reading) return
    this.listenToData()
    this.netSocket.on("end", onEnd)
    // TLS reads from its handshake on
    if (this.netSocket.readableEnded) this.peerEnded()
  }

  private listenToData(): void {
    if (this.reading) return
    this.reading = true
    // a listener makes a socket flow that was never paused, as those of TLS are
    const flowing = this.netSocket.readableFlowing
    this.netSocket.on("data", onData)
    if (flowing === null) this.netSocket.pause()
  }

  watchPulls(watcher: PullWatcher): void {
    this.watcher = watcher
  }

  private told(): void {
    this.watcher?.pulls(this.first === undefined ? 0 : this.later === undefined ? 1 : 1 + this.later.length)
  }

  waitForInput(waiting: Waiting): void {
    if (this.first === undefined) this.first = waiting
    else (this.later ??= []).push(waiting)
    this.told()
    this.lookForInput()
  }

  private lookForInput(): void {
    if (this.buffered) this.readable()
    else if (this.first !== undefined && this.netSocket.readableFlowing !== true) this.netSocket.resume()
  }

  /** A waiting pull was interrupted; it may have been woken for bytes that are now the next one's. */
  stopWaiting(waiting: Waiting): void {
    if (this.removeWaiting((one) => one === waiting).length > 0) this.told()
    this.readable()
  }

  wakeReader(reader: NetReader): void {
    this.lookAgain((waiting) => waiting.reader === reader)
  }

  endReading(error: Socket.SocketError): boolean {
    return this.endReadingAfter(error, Infinity)
  }

  endReadingAfter(error: Socket.SocketError, bytes: number): boolean {
    const { bytesRead, readableLength } = this.netSocket
    if (this.readError === undefined && readableLength > 0 && bytesRead - readableLength < bytes) return false
    this.readError = error
    this.wakePulls()
    return true
  }

  private failReads(error: Socket.SocketError): void {
    this.readError ??= error
    this.wakePulls()
  }
  private wakePulls(): void {
    this.lookAgain(() => true)
  }

  private lookAgain(which: (waiting: Waiting) => boolean): void {
    if (this.first === undefined) return
    const woken = this.removeWaiting(which)
    if (woken.length === 0) return
    this.told()
    for (const waiting of woken) waiting.look()
  }

  private removeWaiting(which: (waiting: Waiting) => boolean): Array<Waiting> {
    if (this.first === undefined) return []
    const all = [this.first, ...this.later ?? []]
    const [first, ...later] = all.filter((waiting) => !which(waiting))
    this.first = first
    this.later = later
    return all.filter(which)
  }

  // --- writing ---------------------------------------------------------------------------------------------------

  get room(): Wakers {
    this.watcher?.waitsForRoom?.()
    if (this.lazyRoom === undefined) {
      this.lazyRoom = new Wakers()
      this.netSocket.on("drain", onRoom)
      // after `end` there is no more `drain`
      this.netSocket.on("finish", onRoom)
    }
    return this.lazyRoom
  }

  get writable(): boolean {
    return !this.ending && this.netSocket.writable
  }

  endWriting(): void {
    const socket = this.netSocket
    this.ending = true
    if (!socket.writableEnded && !socket.destroyed) endOurSide(socket)
  }

  /** 1000 ends the conversation, and nothing written is lost; what is above breaks it off. */
  closeWith(event: Socket.CloseEvent): void {
    if (event.code > 1000) {
      this.netSocket.destroy(new Error(`closed with code ${event.toString()}`))
    } else {
      this.endWriting()
      this.failReads(closeError(event.code, event.reason))
    }
  }

  // --- what the socket tells -------------------------------------------------------------------------------------

  received(chunk: Uint8Array): void {
    if (this.taking) return
    if (this.closing !== undefined) return this.closing.received()
    if (this.watcher?.sweeping === true) {
      this.putBack(chunk)
      return this.hold()
    }
    const waiting = this.firstWaiting()
    if (waiting !== undefined) {
      this.told()
      if (waiting.take(chunk)) return
    }
    // no pull took it
    this.putBack(chunk)
  }

  private putBack(chunk: Uint8Array): void {
    this.netSocket.pause()
    this.netSocket.unshift(chunk)
  }

  /** What is buffered is given to a pull when the accept queue is swept. */
  private hold(): void {
    if (this.held) return
    this.held = true
    this.watcher?.afterSweep?.(() => {
      this.held = false
      if (this.first !== undefined) this.lookForInput()
    })
  }

  private firstWaiting(): Waiting | undefined {
    const { first } = this
    this.first = this.later?.shift()
    return first
  }

  /** Gives what is buffered to a pull that waits. */
  private readable(): void {
    if (!this.buffered) return
    if (this.watcher?.sweeping === true) return this.hold()
    const waiting = this.firstWaiting()
    if (waiting === undefined) return
    this.told()
    waiting.takeBuffered()
  }

  peerEnded(): void {
    if (!this.options.halfOpen) this.endWriting()
    this.failReads(endedByPeer())
  }

  broken(cause: Error): void {
    this.failReads(readError(cause))
    this.roomMade()
  }

  released(): void {
    // a pull finds that the socket is destroyed; without one no error is needed
    this.wakePulls()
    this.roomMade()
    this.closing?.closed()
  }

  finished(): void {
    this.closing?.finished()
  }

  roomMade(): void {
    this.lazyRoom?.wake()
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  goodbye(linger: LingerOptions | "none"): Effect.Effect<void> {
    return Effect.suspend(() => {
      const socket = this.netSocket
      this.failReads(notOpen())
      if (socket.destroyed) return Effect.void
      if (this.closing !== undefined) return goodbye(socket, linger, this.options.lingerTimer, () => this.reset())
      return Effect.callback((resume) => {
        const closing = this.close(linger, () => resume(Effect.void))
        return Effect.sync(() => {
          closing.stop()
          this.reset()
        })
      })
    })
  }

  goodbyeDetached(linger: LingerOptions | "none", done: () => void): void {
    this.failReads(notOpen())
    if (this.netSocket.destroyed) done()
    else if (this.closing !== undefined) lingerAndClose(this.netSocket, linger, this.options.lingerTimer, done)
    else this.close(linger, done)
  }

  private close(linger: LingerOptions | "none", done: () => void): LingeringClose {
    const closing = new LingeringClose(this.netSocket, linger, this.options.lingerTimer, done)
    const { beginning } = closing
    this.closing = closing
    if (beginning.data) this.listenToData()
    if (beginning.finish) this.netSocket.on("finish", onFinish)
    closing.begin(beginning)
    return closing
  }

  watchDeparture(gone: () => void, halfOpen = this.options.halfOpen): () => void {
    return watchDeparture(this.netSocket, halfOpen, gone)
  }

  get destroy(): Effect.Effect<void> {
    return Effect.sync(() => this.reset())
  }

  private reset(): void {
    if (!this.netSocket.destroyed) this.options.reset(this.netSocket)
  }
}

const newReader = (connection: NetConnection): NetReader => new NetReader(connection)
const newWriter = (connection: NetConnection): NetWriter => new NetWriter(connection)

function onError(this: OwnedSocket, cause: Error): void {
  this[connectionOf]?.broken(cause)
}
function onClose(this: OwnedSocket): void {
  const connection = this[connectionOf]
  // Node's handle outlives its socket by a full collection, and whatever hangs on it: that of each connection was a
  // fifth of all that was allocated for it, and what it took to keep it 10 of its 80 µs
  this[connectionOf] = undefined
  connection?.released()
}
function onData(this: OwnedSocket, chunk: Uint8Array): void {
  this[connectionOf]?.received(chunk)
}
function onEnd(this: OwnedSocket): void {
  this[connectionOf]?.peerEnded()
}
function onRoom(this: OwnedSocket): void {
  this[connectionOf]?.roomMade()
}
function onFinish(this: OwnedSocket): void {
  this[connectionOf]?.finished()
}

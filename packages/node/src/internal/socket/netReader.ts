/**
 * The reader of a socket: pulls, and receivers that are called.
 */
import * as Effect from "effect/Effect"
import * as Socket from "effect/socket/Socket"
import { notOpen } from "../platform/socketErrors.ts"
import type { Receiver, Receiving, ReceivingReader } from "./receiving.ts"
import { takeAtomically } from "./takeAtomically.ts"

/** What a reader needs of its connection. */
export interface Input {
  /** A chunk on its way from the socket to the pull that is being woken for it. */
  arrived: Uint8Array | undefined
  /** Why a pull must fail now. */
  readonly failure: Socket.SocketError | undefined
  /** Input has ended, though a pull may not have been told. */
  readonly readError: Socket.SocketError | undefined
  readonly startReading: () => void
  /** What has arrived or is buffered. */
  readonly take: () => Uint8Array | undefined
  readonly waitForInput: (waiting: Waiting) => void
  /** For a wait that is interrupted. */
  readonly stopWaiting: (waiting: Waiting) => void
  /** Makes all that wait by a reader look again. */
  readonly wakeReader: (reader: NetReader) => void
}

/** A pull or a receiver that waits. */
export interface Waiting {
  readonly reader: NetReader
  /** Takes a chunk that has come, and answers whether it did. */
  readonly take: (chunk: Uint8Array) => boolean
  /** Takes what is buffered, unless another was faster. */
  readonly takeBuffered: () => void
  /** There may be nothing left to wait for. */
  readonly look: () => void
}

/**
 * One acquisition of a connection's reader. Closing it fails its pulls and
 * touches nothing else: what was not taken is there for the next reader, and
 * the writer goes on.
 */
export class NetReader implements ReceivingReader {
  readonly pull: Socket.Reader["pull"]
  readonly upgrade: Socket.Reader["upgrade"] = Socket.SocketUpgradeError.unsupported
  closed = false
  readonly connection: Input

  /** `pull` when there is something to take. */
  readonly take: Socket.Reader["pull"]

  constructor(connection: Input) {
    this.connection = connection
    this.take = takeAtomically(() => {
      const chunk = connection.take()
      return chunk === undefined ? undefined : [chunk] as const
    }, () => this.pull)
    this.pull = Effect.callback((resume) => {
      const { failure } = this
      if (failure !== undefined) return resume(Effect.fail(failure))
      const waiting = new NetPull(this, resume)
      connection.waitForInput(waiting)
      return Effect.sync(() => connection.stopWaiting(waiting))
    })
  }

  /** Why a pull must fail now. */
  get failure(): Socket.SocketError | undefined {
    if (this.closed) return notOpen()
    // it may find that the peer has ended
    this.connection.startReading()
    return this.connection.failure
  }

  receive(receiver: Receiver): Receiving {
    const receiving = new NetReceiving(this, receiver)
    receiving.next()
    return receiving
  }

  release(): void {
    this.closed = true
    this.connection.wakeReader(this)
  }
}

class NetPull implements Waiting {
  readonly reader: NetReader
  private readonly resume: (pull: Socket.Reader["pull"]) => void

  constructor(reader: NetReader, resume: (pull: Socket.Reader["pull"]) => void) {
    this.reader = reader
    this.resume = resume
  }

  take(chunk: Uint8Array): boolean {
    const { connection } = this.reader
    connection.arrived = chunk
    this.takeBuffered()
    const taken = connection.arrived === undefined
    connection.arrived = undefined
    return taken
  }
  takeBuffered(): void {
    this.resume(this.reader.take)
  }
  look(): void {
    this.resume(this.reader.pull)
  }
}

class NetReceiving implements Waiting, Receiving {
  readonly reader: NetReader
  private readonly receiver: Receiver
  private stopped = false

  constructor(reader: NetReader, receiver: Receiver) {
    this.reader = reader
    this.receiver = receiver
  }

  take(chunk: Uint8Array): boolean {
    const { reader } = this
    if (this.receiver.chunk(chunk) && !this.stopped) {
      // whatever else has ended it meanwhile is an event to come
      if (reader.connection.readError === undefined && !reader.closed) reader.connection.waitForInput(this)
      else this.look()
    }
    return true
  }
  takeBuffered(): void {
    const chunk = this.reader.connection.take()
    if (chunk === undefined || this.receiver.chunk(chunk)) this.next()
  }
  look(): void {
    const { failure } = this.reader
    if (failure === undefined) return this.reader.connection.waitForInput(this)
    this.stopped = true
    this.receiver.end(failure)
  }

  next(): void {
    if (!this.stopped) this.look()
  }
  stop(): void {
    this.stopped = true
    this.reader.connection.stopWaiting(this)
  }
}

/**
 * Listening on a `net.Server`: bind, the accept queue, the sweep, stop.
 */
import {
  type BoundTransport,
  type FastAccept,
  TransportAcceptError,
  type TransportBindError,
  type TransportConnection
} from "@effect-listener/core/Transport"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Net from "node:net"
import type { SharedSocket } from "../inherit/sharedSocket.ts"
import { lingerAndClose } from "../socket/goodbye/lingeringClose.ts"
import type { LingerTimer } from "../socket/goodbye/lingerTimer.ts"
import { takeAtomically } from "../socket/takeAtomically.ts"
import { Wakers } from "../socket/wakers.ts"
import { acceptError } from "./errno.ts"
import { OwnedServer } from "./ownedServer.ts"
import { AcceptBatch } from "./queue/acceptBatch.ts"
import type { KernelQueue } from "./queue/kernelQueue.ts"
import { QueueSeal } from "./queue/queueSeal.ts"
import { untilQuiet } from "./untilQuiet.ts"

/** How a kind of socket listens. */
export interface NetBinding {
  readonly server: Net.ServerOpts
  /** Makes the server listen, now. How it went is told by its events, or by a throw. */
  readonly listen: (server: Net.Server) => void
  /** The socket it listens on, where that is bound already and other processes may have it, too. */
  readonly shared?: SharedSocket | undefined
  /** How many connections may wait to be accepted: in the kernel, and as many again in our queue. */
  readonly backlog: number
  /** The accept queue at its address, where that can be known. */
  readonly kernelQueue?: ((address: Net.AddressInfo) => KernelQueue | undefined) | undefined
  /** No other process has the socket, or listens where it does. */
  readonly alone?: boolean | undefined
  /** Why listening failed. */
  readonly bindError: (cause: unknown) => TransportBindError
  /** Lets clients reach the server, which listens, or will when its gate opens. Runs uninterruptibly. */
  readonly publish: (server: Net.Server) => Effect.Effect<Published, TransportBindError>
  /** For the sockets that are on their way out. */
  readonly lingerTimer: LingerTimer
  /** The connection of an accepted socket, which is paused and was never read. */
  readonly connect: (socket: Net.Socket) => TransportConnection
}

/** A listening socket that clients can reach. */
export interface Published {
  readonly address: NetAddress.SocketAddress
  /** Keeps new clients from finding it. Runs once, before listening ends. */
  readonly withdraw: Effect.Effect<void>
  /** Nothing else leads to it: after `withdraw` its queue only gets shorter. */
  readonly onlyWay?: boolean | undefined
}

/**
 * Binds. Closing the scope stops listening at once, and completes when nothing
 * is left: connections that were not accepted get a FIN and a moment to take it.
 */
export const bind = (binding: NetBinding): Effect.Effect<BoundTransport, TransportBindError, Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => new NetListener(binding)),
      (listener) => listener.close
    ),
    (listener) => listener.open
  )

/** How long a peer that was not accepted may take to notice its FIN: closed at once, it would be reset. */
const briefLinger = { idle: Duration.millis(250), total: Duration.millis(500), bytes: 1 << 20 }

/**
 * How long clients that connect during a sweep are still taken once all that came before are out, in milliseconds.
 * Clients that connect without pause leave no turn quiet where turns are long, and each turn takes one of them.
 */
const newcomersTime = 100

/** How many may be left then to be taken out, too. Where more are, they come faster than turns take them. */
const mostLeft = 16

/**
 * How long those that were swept wait for other processes to stop listening on the socket, in milliseconds, and how
 * often it is looked for. Answered while another sweeps, they would come back, all at once, as it closes the socket.
 */
const othersTime = 250
const othersInterval = 2

/** Without a client for so long, in milliseconds, there are none that come back as soon as they are answered. */
const calmTime = 50

class NetListener {
  private readonly binding: NetBinding
  private readonly server: OwnedServer
  private listening = false
  private published: Published | undefined
  /** Where it listens, if that is TCP. */
  private address: Net.AddressInfo | undefined
  /** Stops waiting for the gate of a shared socket. */
  private leaveGate: () => void = () => {}
  /** Connections accepted and not yet handed over, oldest first. */
  private readonly queue: Array<TransportConnection> = []
  private readonly accepts = new Wakers()
  /** Takes what comes, instead of the queue. */
  private arrive: ((connection: TransportConnection) => void) | undefined
  /** What the next accept fails with: the latest error, and a fatal one for ever. */
  private failure: TransportAcceptError | undefined
  private arrived = 0
  /** What arrives stays in the queue. */
  private sweeping = false
  /** No more clients can connect. */
  private sealed = false
  /** How many will have arrived when all are out that were in the kernel's queue as the sweep began. */
  private known = Infinity
  /** Keeps the last clients out of the kernel's queue. */
  private readonly seal: QueueSeal
  /** What comes in a rush stays there for a moment, and is handed over together. */
  private readonly batch: AcceptBatch
  /** Sockets that found the queue full, on their way out. */
  private readonly leaving = new Set<Net.Socket>()
  private onLeft: (() => void) | undefined

  constructor(binding: NetBinding) {
    this.binding = binding
    this.batch = new AcceptBatch(binding.backlog, () => this.wakeAll())
    // allowHalfOpen: a peer's FIN ends reading, and never writing behind the handler's back
    this.server = new OwnedServer(
      { ...binding.server, allowHalfOpen: true, pauseOnConnect: true },
      () => this.fail(closedPastError())
    )
    this.server.on("connection", (socket) => this.onConnection(socket))
    this.seal = new QueueSeal(this.server, () => this.kernelQueue, () => this.server.closeByListener())
  }

  // --- bind ------------------------------------------------------------------------------------------------------

  /** Interrupted or failed, it leaves nothing bound. */
  get open(): Effect.Effect<BoundTransport, TransportBindError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.andThen(restore(this.listen), Effect.suspend(() => this.binding.publish(this.server))).pipe(
        Effect.map((published) => {
          this.published = published
          const { accept, acceptAll, leave, stillQueued, stop } = this
          const bound: BoundTransport = {
            address: published.address,
            accept,
            stop,
            leave,
            stillQueued,
            get fast() {
              return { owner: bound, acceptAll }
            }
          }
          return bound
        }),
        Effect.onError(() => this.unlisten)
      )
    )
  }

  private get listen(): Effect.Effect<void, TransportBindError> {
    const { shared } = this.binding
    return shared === undefined || shared.gate.isOpen ? this.listenNow : Effect.sync(() => this.listenAtGate(shared))
  }

  private readonly listenNow: Effect.Effect<void, TransportBindError> = Effect.callback((resume) => {
    const refuse = (cause: unknown) => resume(Effect.fail(this.binding.bindError(cause)))
    this.beginListening(() => resume(Effect.void), refuse)
  })

  /** Others accept from this socket: it is bound, and accepted from when the gate opens. */
  private listenAtGate(shared: SharedSocket): void {
    this.leaveGate = shared.gate.whenOpen(() => {
      this.beginListening(() => {}, (cause) => {
        shared.fails(cause)
        this.onAcceptError(Object.assign(new Error("cannot listen", { cause }), { code: "EBADF" }))
      })
    })
  }

  private beginListening(listening: () => void, refuse: (cause: unknown) => void): void {
    const { listen, shared } = this.binding
    this.server.on("error", (cause) => this.listening ? this.onAcceptError(cause) : refuse(cause))
    this.server.on("listening", () => {
      this.listening = true
      const address = this.server.address()
      if (address !== null && typeof address === "object") this.address = address
      shared?.listens()
      listening()
    })
    try {
      listen(this.server)
    } catch (cause) {
      refuse(cause)
    }
  }

  // --- accept ----------------------------------------------------------------------------------------------------

  private readonly accept: BoundTransport["accept"] = Effect.suspend(() => {
    if (this.queue.length > 0) return this.next
    const failure = this.failure
    if (failure === undefined) return this.arrival
    if (!isFinal(failure)) this.failure = undefined
    return Effect.fail(failure)
  })

  private readonly next: BoundTransport["accept"] = takeAtomically(() => this.queue.shift(), () => this.accept)

  /** Waits until there is something to look at. What is woken looks again, and may find that another was faster. */
  private readonly arrival: BoundTransport["accept"] = Effect.callback((resume) => {
    const again = () => resume(this.accept)
    if (this.hasNews) return again()
    this.accepts.add(again)
    return Effect.sync(() => {
      this.accepts.delete(again)
      // it may have been woken for what is now the next one's
      this.wakeNext()
    })
  })

  private readonly acceptAll: FastAccept["acceptAll"] = (arrive) =>
    Effect.callback((resume) => {
      const accept = () => {
        this.arrive = undefined
        // what arrives may end the accepting
        while (this.queue.length > 0 && !over) arrive(this.queue.shift()!)
        const failure = this.failure
        if (over) return
        if (failure === undefined) {
          this.arrive = arrive
          this.accepts.add(accept)
          return
        }
        over = true
        if (!isFinal(failure)) this.failure = undefined
        resume(Effect.fail(failure))
      }
      let over = false
      accept()
      return Effect.sync(() => {
        over = true
        this.arrive = undefined
        this.accepts.delete(accept)
        this.wakeNext()
      })
    })

  private get hasNews(): boolean {
    return this.queue.length > 0 || this.failure !== undefined
  }

  private wakeNext(): void {
    if (this.hasNews) this.accepts.wakeFirst()
  }

  private wakeAll(): void {
    for (let left = this.queue.length; left > 0; left--) this.wakeNext()
  }

  private onConnection(socket: Net.Socket): void {
    if (this.binding.shared?.probing?.(socket) === true) return
    if (this.seal.owns(socket)) return void socket.destroy()
    this.arrived++
    const arrive = this.sweeping ? undefined : this.arrive
    if (arrive !== undefined && !this.batch.batches()) return arrive(this.binding.connect(socket))
    // a sweep takes out what the kernel has taken in, and ends by itself
    if (this.queue.length >= this.binding.backlog && !this.sweeping) return this.refuse(socket)
    this.queue.push(this.binding.connect(socket))
    if (arrive !== undefined) return this.batch.add()
    if (this.sweeping) return this.seal.taken()
    this.batch.latest = performance.now()
    this.wakeNext()
  }

  private onAcceptError(cause: unknown): void {
    this.fail(acceptError(cause))
  }

  private fail(error: TransportAcceptError): void {
    if (isFinal(this.failure)) return
    this.failure = error
    this.wakeNext()
  }

  /** Ends a socket for which there is no room. */
  private refuse(socket: Net.Socket): void {
    this.leaving.add(socket)
    // a socket that is on its way out may be reset: that is an end like any other
    socket.on("error", () => {})
    lingerAndClose(socket, briefLinger, this.binding.lingerTimer, () => {
      this.leaving.delete(socket)
      if (this.leaving.size === 0) this.onLeft?.()
    })
  }

  // --- stop ------------------------------------------------------------------------------------------------------

  private get stop(): Effect.Effect<void> {
    return this.withdraw.pipe(
      Effect.andThen(Effect.suspend(() => this.server.listening ? this.sweep : Effect.void)),
      Effect.andThen(this.unlisten),
      Effect.andThen(this.untilOthersStop),
      Effect.ensuring(this.endSweep),
      Effect.andThen(this.untilTaken)
    )
  }

  /** The file stays, if there is one: it is how clients reach the process that goes on. */
  private get leave(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.published = undefined
      this.batch.stop()
      return Effect.andThen(this.unlisten, this.untilTaken)
    })
  }

  private get withdraw(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const published = this.published
      this.published = undefined
      if (published === undefined) return Effect.void
      this.sealed = published.onlyWay === true
      return published.withdraw
    })
  }

  private get unlisten(): Effect.Effect<void> {
    return Effect.andThen(
      this.withdraw,
      Effect.sync(() => {
        this.leaveGate()
        this.server.closeByListener()
      })
    )
  }

  /**
   * Turns the event loop, in which libuv accepts one connection a turn, until
   * the kernel's queue was empty, or all that was in it at the beginning is out
   * and newcomers have had their time. The queue is first in, first out. Where
   * clients had stopped coming before, it need only be seen to be empty; where
   * they come, and no other process listens, it is closed to them.
   *
   * Swept connections wait until the listening socket is closed: answered at once,
   * clients that come back as soon as they have their answer would fill the
   * queue as fast as it empties, and make the turns long; and a client that
   * connects in the last of them is reset.
   */
  private readonly sweep: Effect.Effect<void> = Effect.suspend(() => {
    const calm = performance.now() - this.batch.latest >= calmTime
    this.sweeping = true
    this.batch.stop()
    const { arrived: before, binding } = this
    // the kernel's queue takes one more than its backlog
    const most = before + binding.backlog + 1
    this.known = before + (this.kernelQueue?.waiting ?? Infinity)
    let knownOutAt: number | undefined
    let emptied = false
    const swept = untilQuiet(() => this.arrived, (arrived, quiet) => {
      if (arrived >= most) return true
      if (arrived < this.known && !quiet) return false
      const waiting = this.kernelQueue?.waiting
      if (quiet && waiting === undefined || (quiet || calm && arrived === before) && waiting === 0) {
        return emptied = true
      }
      knownOutAt ??= performance.now()
      return performance.now() - knownOutAt >= newcomersTime
    })
    const closed = Effect.suspend(() =>
      binding.alone !== true || (calm && this.arrived === before)
        ? Effect.void
        : this.seal.closeEmpty(emptied ? Infinity : mostLeft)
    )
    return Effect.andThen(swept, closed)
  })

  private get kernelQueue(): KernelQueue | undefined {
    return this.address === undefined ? undefined : this.binding.kernelQueue?.(this.address)
  }

  /** Those that were swept wait until no process listens where they would come back to. */
  private readonly untilOthersStop: Effect.Effect<void> = Effect.suspend(() =>
    this.queue.length === 0 || this.binding.shared?.stopsWithOthers !== true
      ? Effect.void
      : Effect.sync(() => this.kernelQueue?.listened === true).pipe(
        Effect.repeat({ while: (listened) => listened, schedule: Schedule.spaced(othersInterval) }),
        Effect.timeoutOption(othersTime),
        Effect.asVoid
      )
  )

  private readonly stillQueued = (): boolean | undefined => {
    if (!this.sweeping) return false
    if (this.sealed) return true
    return this.known === Infinity ? undefined : this.arrived < this.known
  }

  private readonly endSweep: Effect.Effect<void> = Effect.sync(() => {
    this.sweeping = false
    this.wakeAll()
  })

  /** Completes when all that was swept is taken, or as much of it as will be. */
  private readonly untilTaken: Effect.Effect<void> = Effect.suspend(() => {
    const left = () => {
      this.wakeAll()
      return this.queue.length
    }
    return this.queue.length === 0 ? Effect.void : untilQuiet(left, (left, quiet) => quiet || left === 0)
  })

  get close(): Effect.Effect<void> {
    return Effect.andThen(
      this.unlisten,
      Effect.suspend(() => {
        this.failure = closedError()
        this.binding.lingerTimer.close()
        const queued = this.queue.splice(0)
        this.accepts.wake()
        return Effect.andThen(
          Effect.forEach(queued, (connection) => connection.goodbye(briefLinger), {
            concurrency: "unbounded",
            discard: true
          }),
          this.allLeft
        )
      })
    )
  }

  private readonly allLeft: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (this.leaving.size === 0) return resume(Effect.void)
    this.onLeft = () => resume(Effect.void)
  })
}

const closedError = (): TransportAcceptError =>
  new TransportAcceptError({ class: "fatal", code: "EBADF", cause: new Error("the listening socket is closed") })

const closedPastError = (): TransportAcceptError =>
  new TransportAcceptError({ class: "closed", cause: new Error("the process has closed the listening socket") })

/** Whether the error is that of every accept to come. */
const isFinal = (error: TransportAcceptError | undefined): boolean =>
  error?.class === "fatal" || error?.class === "closed"

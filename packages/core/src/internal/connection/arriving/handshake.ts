/**
 * The handshake of a connection, before anything else happens on it: within the
 * listener's bound and, while it drains, within the grace.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Socket from "effect/socket/Socket"
import type { TransportConnection } from "../../../Transport.ts"
import { call, effectOf } from "../../util/foreign.ts"
import { type Linked, LinkedList } from "../../util/linkedList.ts"
import { closeError } from "../../util/socketErrors.ts"
import type { Timers } from "../../util/timers.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { ReadTurns } from "../draining/readTurns.ts"

/** What a handshake needs of the manager of its connection. */
export interface HandshakeContext {
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>, options?: Effect.RunOptions) => Fiber.Fiber<A, E>
  readonly handshakes: Handshakes
  /** The drain comes to it, where there is one. */
  readonly drainIfBegun: (connection: ConnectionImpl) => void
  /** Ends a connection by how its handshake ended. */
  readonly finish: (connection: ConnectionImpl, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
  /** A handler has ended, however long after its connection. */
  readonly handlerEnded: (connection: ConnectionImpl) => void
}

/** Whether there is nothing to run. */
export const isDone = (effect: Effect.Effect<unknown, unknown>): boolean =>
  Exit.isExit(effect) && Exit.isSuccess(effect)

/** Whether a connection can be used as it comes. */
export const isReady = (connection: ConnectionImpl): boolean => {
  if (connection.handshakeDone) return true
  const ready = call(connection, "ready", readyOf, undefined)
  return ready !== undefined && isDone(ready)
}

const readyOf = ({ transport }: ConnectionImpl): TransportConnection["ready"] => transport.ready

/** `shakeHands` in the fiber that waits for it; interrupted, it ends the handshake and waits until that has ended. */
export const handshake = (context: HandshakeContext, connection: ConnectionImpl): TransportConnection["ready"] =>
  Effect.callback((resume) => {
    const fiber = shakeHands(context, connection, resume)
    return Fiber.interrupt(fiber)
  })

/**
 * Goes on when the handshake of a connection is done, and finishes the connection
 * when it fails. A handshake has a fiber; what comes after it needs none.
 */
export const whenShaken = (
  context: HandshakeContext,
  connection: ConnectionImpl,
  shaken: () => void,
  failed: () => void = () => {}
): void => {
  connection.handled = true
  const fiber = shakeHands(context, connection, (exit) => {
    connection.fiber = undefined
    if (Exit.isSuccess(exit) && connection.step === "Handshake") {
      connection.handled = false
      return shaken()
    }
    context.runFork(context.finish(connection, exit), { uninterruptible: true })
      .addObserver(() => context.handlerEnded(connection))
    failed()
  })
  if (connection.step === "Handshake") connection.fiber = fiber
}

/** Waits for a connection's handshake, in a fiber of its own, and tells how it went. */
const shakeHands = (
  context: HandshakeContext,
  connection: ConnectionImpl,
  done: (shaken: Exit.Exit<void, Effect.Error<TransportConnection["ready"]>>) => void
): Fiber.Fiber<unknown, unknown> => {
  connection.transition("handshakeBegan")
  const handshake = context.handshakes.add(connection)
  let ended: Socket.SocketError | undefined
  const fiber = context.runFork(effectOf("ready", () => connection.transport.ready))
  connection.endHandshake = (reason) => {
    ended ??= closeError(reason)
    fiber.interruptUnsafe()
  }
  fiber.addObserver((exit) => {
    context.handshakes.delete(handshake)
    connection.endHandshake = undefined
    if (Exit.isSuccess(exit)) connection.handshakeDone = true
    done(ended !== undefined && Exit.isFailure(exit) ? Exit.fail(ended) : exit)
  })
  if (connection.step === "Handshake" || connection.endHandshake !== undefined) context.drainIfBegun(connection)
  return fiber
}

class Handshake implements Linked<Handshake> {
  readonly connection: ConnectionImpl
  /** Monotonic milliseconds. */
  readonly due: number
  list: LinkedList<Handshake> | undefined
  previous: Handshake | undefined
  next: Handshake | undefined

  constructor(connection: ConnectionImpl, due: number) {
    this.connection = connection
    this.due = due
  }
}

/** A timer that fires this long after its time says that the process stood still. Milliseconds. */
const standstill = 50

/**
 * The handshakes of a listener that are under way, and the time they have. All
 * have the same, so that the first to come is the first due: one timer for all,
 * which stays when that one is done, because there will be a next. Time in which
 * the process stood still is given back, once: a handshake takes several turns.
 */
export class Handshakes {
  /** In the order in which they are due. */
  private readonly underWay = new LinkedList<Handshake>()
  private readonly limit: number
  private readonly timers: Timers
  private readonly now: () => number
  private readonly turns: ReadTurns
  private timed = false

  constructor(limit: number, timers: Timers, now: () => number, turns: ReadTurns) {
    this.limit = limit
    this.timers = timers
    this.now = now
    this.turns = turns
  }

  add(connection: ConnectionImpl): Handshake {
    const handshake = new Handshake(connection, this.now() + this.limit)
    this.underWay.add(handshake)
    if (!this.timed && this.limit < Infinity) this.lookAt(handshake.due)
    return handshake
  }

  delete(handshake: Handshake): void {
    this.underWay.delete(handshake)
  }

  private lookAt(at: number): void {
    this.timed = true
    this.timers.schedule(at, () => this.look(at))
  }

  private look(at: number): void {
    const now = this.now()
    const late: Array<ConnectionImpl> = []
    this.timed = false
    let { first } = this.underWay
    while (first !== undefined && first.due <= now) {
      // each is late once, also where its handshake goes on
      this.underWay.delete(first)
      late.push(first.connection)
      first = this.underWay.first
    }
    if (first !== undefined) this.lookAt(first.due)
    if (now - at <= standstill) return this.end(late)
    this.timers.schedule(now + Math.min(now - at, this.limit), () => this.end(late))
  }

  private end(late: ReadonlyArray<ConnectionImpl>): void {
    for (const connection of late) {
      this.turns.wait(connection, () => connection.endHandshake?.("handshake timeout"))
    }
  }
}

/**
 * The handshake of a connection, before anything else happens on it: within the
 * listener's bound and, while it drains, within the grace.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Socket from "effect/socket/Socket"
import type { TransportConnection } from "../../Transport.ts"
import { type Linked, LinkedList } from "../util/linkedList.ts"
import type { Timers } from "../util/timers.ts"
import { closeError, type ConnectionImpl } from "./connection.ts"
import type { Life } from "./connectionManager.ts"

/** Whether there is nothing to run. */
export const isDone = (effect: Effect.Effect<unknown, unknown>): boolean =>
  Exit.isExit(effect) && Exit.isSuccess(effect)

/** Whether a connection can be used as it comes. */
export const isReady = (connection: ConnectionImpl): boolean => isDone(connection.transport.ready)

/** Waits for a connection's handshake, in a fiber of its own, and tells how it went. */
export const shakeHands = (
  life: Life,
  connection: ConnectionImpl,
  done: (shaken: Exit.Exit<void, Effect.Error<TransportConnection["ready"]>>) => void
): Fiber.Fiber<unknown, unknown> => {
  connection.step = "Handshake"
  const handshake = life.handshakes.add(connection)
  let ended: Socket.SocketError | undefined
  const fiber = life.runFork(connection.transport.ready)
  connection.endHandshake = (reason) => {
    ended ??= closeError(reason)
    fiber.interruptUnsafe()
  }
  fiber.addObserver((exit) => {
    life.handshakes.delete(handshake)
    connection.endHandshake = undefined
    done(ended !== undefined && Exit.isFailure(exit) ? Exit.fail(ended) : exit)
  })
  if (life.draining && connection.step === "Handshake") life.reach(connection)
  return fiber
}

/** `shakeHands` in the fiber that waits for it; interrupted, it ends the handshake and waits until that has ended. */
export const handshake = (life: Life, connection: ConnectionImpl): TransportConnection["ready"] =>
  Effect.callback((resume) => {
    const fiber = shakeHands(life, connection, resume)
    return Fiber.interrupt(fiber)
  })

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

/**
 * The handshakes of a listener that are under way, and the time they have. All
 * have the same, so who came first is due first: one timer for all, which stays
 * when that one is done, because there will be a next.
 */
export class Handshakes {
  /** In the order in which they are due. */
  private readonly underWay = new LinkedList<Handshake>()
  private readonly limit: number
  private readonly timers: Timers
  private readonly now: () => number
  private timed = false

  constructor(limit: number, timers: Timers, now: () => number) {
    this.limit = limit
    this.timers = timers
    this.now = now
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
    this.timers.schedule(at, () => this.look())
  }

  private look(): void {
    const now = this.now()
    const late: Array<ConnectionImpl> = []
    this.timed = false
    let { first } = this.underWay
    while (first !== undefined && first.due <= now) {
      // told once, also where its handshake does not end by it
      this.underWay.delete(first)
      late.push(first.connection)
      first = this.underWay.first
    }
    if (first !== undefined) this.lookAt(first.due)
    for (const connection of late) connection.endHandshake?.("handshake timeout")
  }
}

import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { ConnectionInfo, EndReason } from "../../../DrainReport.ts"
import type { Signal } from "../../util/condition.ts"
import { call, read } from "../../util/foreign.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { Connections } from "../connections.ts"

/** What cutting needs of the manager of the connections. */
export interface CuttingContext {
  readonly connections: Connections
  readonly signal: Signal
  readonly runFork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly now: () => number
  readonly deadlineAt: number | undefined
  /** A connection that has ended is counted. */
  readonly count: (connection: ConnectionImpl, reason: EndReason) => void
  readonly neverTaken: (connection: ConnectionImpl) => void
}

/**
 * Ends connections at once: records how each stood, destroys it, interrupts its
 * handler, and knows what of it is not over.
 */
export class Cutting {
  /** The connections that were cut, as they stood then. */
  readonly cut: Array<ConnectionInfo> = []
  private readonly context: CuttingContext
  /** How many sockets are being destroyed. They have been counted, and are waited for. */
  destroying = 0
  private readonly leaving = new Map<ConnectionImpl, ConnectionInfo>()

  constructor(context: CuttingContext) {
    this.context = context
  }

  /** Destroys all of them, interrupts every handler, and remembers how each one stood. */
  all(queued: ReadonlyArray<ConnectionImpl>): void {
    const { connections, deadlineAt, neverTaken, now } = this.context
    const refusing = connections.refusing.toArray()
    const victims = connections.snapshot()
    this.whileDestroying(() => {
      for (const connection of queued) {
        if (connection.transition("cut") === "Destroy") neverTaken(connection)
      }
      // those that held the close for as long as it may take are named
      const late = deadlineAt !== undefined && now() >= deadlineAt
      for (const connection of refusing) {
        if (late) this.cut.push(connection.describe())
        connection.transition("cut")
        connections.refusing.delete(connection)
      }
      for (const connection of victims) this.cutOff(connection)
      // recorded; only now may other fibers run
      for (const connection of [...victims, ...refusing, ...queued]) this.destroy(connection)
    })
  }

  /** One whose limit is over. */
  one(connection: ConnectionImpl): void {
    this.whileDestroying(() => {
      this.cutOff(connection)
      this.destroy(connection)
    })
  }

  /** One that failed: ended at once, whatever it is doing. */
  fail(connection: ConnectionImpl): void {
    const detached = connection.step === "Detached"
    this.whileDestroying(() => {
      if (connection.transition("cut") === "Destroy") this.context.count(connection, "failed")
      if (!detached) this.destroy(connection)
    })
  }

  /** Those whose handlers closed the listener. They have been counted. */
  closers(): void {
    const closers = this.context.connections.closers.toArray()
    for (const connection of closers) {
      if (connection.transition("cut") === "Destroy") this.context.count(connection, "closer")
    }
    for (const connection of closers) this.destroy(connection)
  }

  /** The transport first: a handler's finalizers end it with a FIN, as if all had been said. */
  destroy(connection: ConnectionImpl): void {
    const { driver } = connection
    this.destroying++
    const brokenOff = driver !== undefined && read(connection, driver, "breakOff", undefined) !== undefined &&
      call(connection, "breakOff", () => driver.breakOff?.() === true, false)
    this.context.runFork(brokenOff ? Effect.void : connection.destroy).addObserver(() => {
      this.destroying--
      this.context.signal.notify()
    })
    if (connection.handled) this.interrupt(connection)
    if (driver !== undefined) call(connection, "cut", () => driver.cut(), undefined)
  }

  /** A handler has ended, however long after its connection. */
  handlerEnded(connection: ConnectionImpl): void {
    if (this.leaving.delete(connection)) this.context.signal.notify()
  }

  /** Whether anything of what was cut still runs. Asked at every end of one: stops at the first that does. */
  get isRunning(): boolean {
    if (this.destroying > 0) return true
    for (const connection of this.leaving.keys()) {
      if (this.stillRuns(connection)) return true
      this.leaving.delete(connection)
    }
    return false
  }

  /** The handlers of cut connections that still run, as they stood when they were cut. */
  running(): ReadonlyArray<ConnectionInfo> {
    for (const connection of Array.from(this.leaving.keys())) {
      if (!this.stillRuns(connection)) this.leaving.delete(connection)
    }
    return Array.from(this.leaving.values())
  }

  /** What is counted in it is destroyed in it: a close that is woken in between goes on waiting. */
  private whileDestroying(f: () => void): void {
    this.destroying++
    try {
      f()
    } finally {
      this.destroying--
      this.context.signal.notify()
    }
  }

  /** Counts a connection as cut, and remembers how it stood and what of it still runs. */
  private cutOff(connection: ConnectionImpl): void {
    const info = connection.describe()
    if (connection.transition("cut") !== "Destroy") return
    // outside a close there is no report
    if (this.context.connections.tally !== undefined) this.cut.push(info)
    if (connection.handled || connection.driver !== undefined) this.leaving.set(connection, info)
    this.context.count(connection, "cut")
  }

  /** Only the end of a handler that is cut is waited for. */
  private interrupt(connection: ConnectionImpl): void {
    connection.fiber?.addObserver(() => this.handlerEnded(connection))
    connection.fiber?.interruptUnsafe()
  }

  private stillRuns(connection: ConnectionImpl): boolean {
    const { driver } = connection
    return driver === undefined || call(connection, "running", () => driver.running(), false)
  }
}

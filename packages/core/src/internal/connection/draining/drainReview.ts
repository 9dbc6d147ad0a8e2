import * as Effect from "effect/Effect"
import { courtesyWithin, type ResolvedDrain } from "../../options/drain.ts"
import type { Timers } from "../../util/timers.ts"
import type { ConnectionImpl } from "../connection.ts"
import { awaitsLook, type DrainEvent, look } from "./drainLadder.ts"
import { fullRead, ReadAhead, readsAhead } from "./readAhead.ts"
import type { ReadTurns } from "./readTurns.ts"

/** What a look at a draining connection needs of its manager. */
export interface ReviewContext {
  readonly now: () => number
  readonly timers: Timers
  readonly turns: ReadTurns
  readonly drain: ResolvedDrain
  readonly deadlineAt: number | undefined
}

/** How many connections are told in one go before other fibers get a turn. */
const chunk = 256

/** Does something with each connection, and gives other fibers a turn now and then. */
export const each = (
  connections: ReadonlyArray<ConnectionImpl>,
  f: (connection: ConnectionImpl) => void
): Effect.Effect<void> => {
  let next = 0
  return Effect.whileLoop({
    while: () => next < connections.length,
    body: () => {
      const end = Math.min(next + chunk, connections.length)
      for (; next < end; next++) f(connections[next]!)
      return next < connections.length ? Effect.yieldNow : Effect.void
    },
    step: () => {}
  })
}

/**
 * Looks at draining connections, again whenever one may have become idle, and
 * does what the state machine decides. There is no pass over the connections
 * that could come too early or too late for one.
 */
export class DrainReview {
  private readonly context: ReviewContext

  constructor(context: ReviewContext) {
    this.context = context
  }

  /** A lame duck has come to this connection. */
  notify(connection: ConnectionImpl): void {
    if (connection.transition("drainNotified") === "Notify") connection.notifyDraining()
  }

  /** The drain has come to this connection. */
  begin(connection: ConnectionImpl): void {
    const untold = connection.rung === "Untold"
    const action = connection.transition("drainBegun")
    if (action === "None") return
    if (action === "Begin") {
      connection.hadWork = connection.step === "Serving" && (connection.hadWork || !connection.idle)
      if (untold) connection.notifyDraining()
    }
    this.recheck(connection)
  }

  /** Looks at a connection again. */
  recheck(connection: ConnectionImpl): void {
    this.lookAt(connection, false)
  }

  /** Graces were given while more time was left. */
  shortenGraces(connections: ReadonlyArray<ConnectionImpl>): void {
    for (const connection of connections) {
      connection.forgetGrace()
      this.graceOver(connection)
      connection.ahead?.graceOver()
    }
  }

  /**
   * The deadline has come: no grace goes on, and what had arrived is read before
   * anything is cut, because the process may have stood still until now. Idle
   * connections are told goodbye one turn later, and a further turn sends it.
   */
  lastLook(connections: () => ReadonlyArray<ConnectionImpl>): Effect.Effect<void> {
    const turn = Effect.suspend(() => this.turnOfAll(connections()))
    return Effect.suspend(() => {
      this.shortenGraces(connections())
      return Effect.andThen(turn, turn)
    })
  }

  private turnOfAll(connections: ReadonlyArray<ConnectionImpl>): Effect.Effect<void> {
    return Effect.callback((resume) => {
      let left = connections.length
      if (left === 0) return resume(Effect.void)
      const passed = () => {
        if (--left === 0) resume(Effect.void)
      }
      for (const connection of connections) this.context.turns.wait(connection, passed)
    })
  }

  private lookAt(connection: ConnectionImpl, quietTurn: boolean): void {
    if (!awaitsLook(connection.rung)) return
    const { idle } = connection
    if (!idle && readsAhead(connection)) this.lookAhead(connection)
    const now = this.context.now()
    const graceEnds = idle ? connection.graceEnd(this.context.drain.idleGrace, this.grace) : now
    const oneAtATime = connection.mode === "pull" && connection.ahead === undefined
    const answered = oneAtATime && idle && connection.answered
    switch (connection.transition(look({ idle, quietTurn, oneAtATime, answered, now, graceEnds }))) {
      case "AwaitGrace":
        this.context.timers.schedule(graceEnds, () => this.graceOver(connection))
        return
      case "AwaitTurn":
        return this.awaitTurn(connection)
      case "SayGoodbye":
        return connection.sayGoodbye(now < graceEnds)
    }
  }

  /** It may never be idle: it reads on while it works. */
  private lookAhead(connection: ConnectionImpl): void {
    if (connection.ahead === undefined) {
      connection.ahead = new ReadAhead(connection, this.context.turns)
      this.context.timers.schedule(connection.aheadGraceEnd(this.grace), connection.ahead.graceOver)
    }
    connection.ahead.look()
  }

  /** How long a connection that was active then may take for its next request. */
  private readonly grace = (lastActive: number): number => {
    const { deadlineAt, drain: { idleGrace } } = this.context
    return deadlineAt === undefined
      ? idleGrace
      : courtesyWithin(idleGrace, deadlineAt - lastActive)
  }

  private graceOver(connection: ConnectionImpl): void {
    if (connection.transition("graceOver") === "Look") this.recheck(connection)
  }

  /** Waits one whole read turn and, when nothing happened in it, says goodbye. */
  private awaitTurn(connection: ConnectionImpl): void {
    const { activity, pulling } = connection
    // asked only of a connection that is being pulled: it calls into Node
    const bytesIn = pulling > 0 ? connection.bytesIn : 0
    this.context.turns.wait(connection, () => {
      const emptied = pulling > 0 && connection.bytesIn - bytesIn < fullRead
      this.turnPassed(connection, emptied ? "turnEmptied" : "turnOver", connection.activity === activity)
    })
  }

  private turnPassed(connection: ConnectionImpl, event: DrainEvent, quiet: boolean): void {
    if (connection.transition(event) === "FixEntitlement") connection.fixEntitlement()
    this.lookAt(connection, quiet)
  }
}

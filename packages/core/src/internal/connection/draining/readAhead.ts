import type { ConnectionImpl } from "../connection.ts"
import { oldestOpen } from "../exchanges.ts"
import type { ReadTurns } from "./readTurns.ts"

/**
 * How far the drain has come with a connection that reads on while it works.
 *
 * - `Grace`: its client may send what it likes.
 * - `Due`: the grace is over, and one whole read turn has to pass while a pull waits.
 * - `Turn`: that turn passes.
 * - `Fenced`: what had arrived was read, and what had begun by then is to end.
 */
export type AheadStage = "Grace" | "Due" | "Turn" | "Fenced"

export type AheadEvent =
  | "graceOver"
  /** A look: a pull waits, and an exchange is open that had begun before the fence. */
  | "reads"
  /** A look: a pull waits, and all that had begun before the fence has ended. */
  | "readsBeyond"
  /** The read turn has passed, and may not have brought everything. */
  | "turnOver"
  /** The read turn has passed, and has left nothing unread that had arrived before it. */
  | "turnEmptied"

/**
 * What the caller does about it.
 *
 * - `None`: nothing.
 * - `Look`: look at it.
 * - `AwaitTurn`: `turnOver` or `turnEmptied` when one whole read turn has passed.
 * - `Fence`: remember what has begun, then look at it.
 * - `SayGoodbye`: end its reading; what is in work goes on.
 */
export type AheadAction = "None" | "Look" | "AwaitTurn" | "Fence" | "SayGoodbye"

export interface AheadCell {
  readonly next: AheadStage
  readonly action: AheadAction
}

const on = (next: AheadStage, action: AheadAction = "None"): AheadCell => ({ next, action })

const stages: Record<AheadStage, Record<AheadEvent, AheadCell>> = {
  Grace: {
    graceOver: on("Due", "Look"),
    reads: on("Grace"),
    readsBeyond: on("Grace"),
    turnOver: on("Grace"),
    turnEmptied: on("Grace")
  },
  Due: {
    graceOver: on("Due"),
    reads: on("Turn", "AwaitTurn"),
    readsBeyond: on("Turn", "AwaitTurn"),
    turnOver: on("Due"),
    turnEmptied: on("Due")
  },
  Turn: {
    graceOver: on("Turn"),
    reads: on("Turn"),
    readsBeyond: on("Turn"),
    turnOver: on("Due", "Look"),
    turnEmptied: on("Fenced", "Fence")
  },
  // with bytes buffered nothing can be ended: it is said again at the next look
  Fenced: {
    graceOver: on("Fenced"),
    reads: on("Fenced"),
    readsBeyond: on("Fenced", "SayGoodbye"),
    turnOver: on("Fenced"),
    turnEmptied: on("Fenced")
  }
}

/** What an event means at a stage. */
export const readAhead = (stage: AheadStage, event: AheadEvent): AheadCell => stages[stage][event]

/**
 * A reader of a socket stops when it has read so much that nothing took, Node at
 * 16 or 64 KiB. A read turn that brought less has left nothing in the kernel.
 */
export const fullRead = 16 * 1024

/** Bytes of one connection that a kernel may hold unread: Linux' largest receive buffer, where nothing was set. */
const mostUnread = 32 * 1024 * 1024

/** Its handler waits for input while something is in flight. */
export const readsAhead = ({ driver, exchanges, pulling, step }: ConnectionImpl): boolean =>
  pulling > 0 && exchanges !== undefined && exchanges.size > 0 && driver === undefined && step === "Serving"

/**
 * The drain of a connection that is never idle: its client sends on while earlier
 * messages are worked on. Its client has a grace, what had arrived by then is
 * read, and every message that had begun to arrive is finished: of the exchanges
 * that are open, the last may be one of which only half is there, so reading
 * goes on until all of them have ended. Then it ends, for what came after.
 */
export class ReadAhead {
  private readonly connection: ConnectionImpl
  private readonly turns: ReadTurns
  private readonly since: number
  private stage: AheadStage = "Grace"
  /** How many exchanges its listener had begun when all that had arrived was read. */
  private fence = Infinity

  constructor(connection: ConnectionImpl, turns: ReadTurns) {
    this.connection = connection
    this.turns = turns
    this.since = connection.bytesIn
  }

  /** Its client's grace is over, or was taken back. */
  readonly graceOver = (): void => this.on("graceOver")

  /** Something changed. */
  look(): void {
    const { connection } = this
    if (readsAhead(connection)) this.on(oldestOpen(connection) > this.fence ? "readsBeyond" : "reads")
  }

  private on(event: AheadEvent): void {
    const { action, next } = readAhead(this.stage, event)
    this.stage = next
    switch (action) {
      case "Look":
        return this.look()
      case "AwaitTurn":
        return this.awaitTurn()
      case "Fence":
        this.fence = this.connection.context.counts.exchanges
        this.connection.fixEntitlement()
        return this.look()
      case "SayGoodbye":
        return this.connection.sayGoodbye(false)
    }
  }

  private awaitTurn(): void {
    const { connection } = this
    const { bytesIn } = connection
    this.turns.wait(connection, () => {
      if (connection.step !== "Serving" || connection.rung === "Goodbye") return
      const now = connection.bytesIn
      const emptied = now - bytesIn < fullRead || now - this.since >= mostUnread
      // what no pull waits for may be buffered
      this.on(emptied && connection.pulling > 0 ? "turnEmptied" : "turnOver")
    })
  }
}

import type { RefusalReason } from "../../options/admission.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { ConnectionManager } from "../connectionManager.ts"
import { isReady, whenShaken } from "./handshake.ts"
import { refuseWith } from "./refusal.ts"

/**
 * What becomes of connections before they are served: they are queued when their
 * client is named, handed on when their handshake is done, and refused when
 * nothing takes them.
 */
export class Arrivals {
  private readonly manager: ConnectionManager

  constructor(manager: ConnectionManager) {
    this.manager = manager
  }

  // --- introductions -----------------------------------------------------------------------------------------------

  introduced(connection: ConnectionImpl): void {
    const { queue } = this.manager
    queue.arrive(connection)
    // it is served where something still serves; nothing is held for later
    if (!this.manager.accepting && queue.withdraw(connection)) this.refuseUntaken(connection)
  }

  notIntroduced(connection: ConnectionImpl): void {
    const { counts } = this.manager
    counts.refused.notIntroduced++
    this.manager.noteRefused()
    refuseWith(this.manager, connection, undefined)
  }

  neverIntroduced(connection: ConnectionImpl): void {
    this.manager.admitted(connection)
    this.manager.neverTaken(connection)
    refuseWith(this.manager, connection, undefined)
  }

  // --- handshakes of those that wait in accept ---------------------------------------------------------------------

  /** Their handshakes run side by side: each is given to the next that waits when its own is done. */
  prepare(connection: ConnectionImpl): boolean {
    if (isReady(connection)) return false
    whenShaken(this.manager, connection, () => this.prepared(connection), () => this.prepared(undefined))
    return true
  }

  private prepared(connection: ConnectionImpl | undefined): void {
    const { connections, queue } = this.manager
    if (connection !== undefined) {
      connection.transition("shaken")
      connection.shaken()
      connections.remove(connection)
    }
    queue.ready(connection)
    if (this.manager.accepting) return
    // accepting has ended meanwhile: what nothing took is refused, and what nothing is left for is told
    if (connection !== undefined && queue.withdraw(connection)) this.refuseUntaken(connection)
    for (const consumer of queue.removeWaiting()) consumer.late?.()
    this.manager.notifyIfDrained()
  }

  // --- those that nothing takes ------------------------------------------------------------------------------------

  /** Takes back a connection whose accept was interrupted after it was given: the next in line gets it. */
  requeue(connection: ConnectionImpl): void {
    const { connections, queue } = this.manager
    if (connection.step !== "Queued" || !connections.remove(connection)) return
    if (this.manager.accepting) return queue.requeue(connection)
    this.refuseUntaken(connection)
    this.manager.notifyIfDrained()
  }

  /** The listener closes: what is still queued is refused. */
  refuseQueued(): void {
    const queued = this.manager.queue.removeQueued()
    for (const connection of queued) this.manager.neverTaken(connection)
    for (const connection of queued) this.sayNo(connection)
  }

  /** Admission does not let it in. */
  refuse(connection: ConnectionImpl, reason: RefusalReason): void {
    this.manager.counts.refused[reason]++
    this.manager.noteRefused()
    this.sayNo(connection)
  }

  private refuseUntaken(connection: ConnectionImpl): void {
    this.manager.neverTaken(connection)
    this.sayNo(connection)
  }

  /** In the words of what serves, where it has some. */
  private sayNo(connection: ConnectionImpl): void {
    const by = this.manager.queue.refuser()
    if (by?.refuse !== undefined) by.refuse(connection)
    else refuseWith(this.manager, connection, undefined)
  }
}

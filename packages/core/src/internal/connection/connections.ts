import type { ConnectionCounts, EndReason } from "../../DrainReport.ts"
import { noEnds } from "../telemetry/counts.ts"
import { type Linked, LinkedList } from "../util/linkedList.ts"
import type { ConnectionImpl } from "./connection.ts"

/** How connections ended since counting began. */
export class Tally {
  refused = 0
  private readonly ends = noEnds()
  private sum = 0

  add(reason: EndReason): void {
    this.ends[reason]++
    this.sum++
  }

  /** One has not ended after all. */
  remove(reason: EndReason): void {
    this.ends[reason]--
    this.sum--
  }

  /** `total` is what has ended and what has not yet. */
  counts(remaining: number): ConnectionCounts {
    return { total: this.sum + remaining, ...this.ends }
  }

  total(remaining: number): number {
    return this.sum + remaining
  }
}

/**
 * The open connections of one lifetime, oldest first. Adding, removing and counting
 * cost the same however many there are.
 */
export class Connections<C extends Linked<C> = ConnectionImpl> {
  private readonly members = new LinkedList<C>()
  /** Connections whose handlers closed the listener: nothing waits for them. */
  readonly closers = new LinkedList<C>()
  /** Connections that admission refused, and that are still being told so. */
  readonly refusing = new LinkedList<C>()
  /** Present while a close, or the abort before it, counts how connections end. */
  tally: Tally | undefined

  /** How many connections are open, closers included: what admission counts. */
  get open(): number {
    return this.members.size + this.closers.size
  }

  /** How many a close waits for. */
  get remaining(): number {
    return this.members.size + this.refusing.size
  }

  /** How many a report counts that have not ended. */
  get counted(): number {
    return this.members.size
  }

  add(connection: C): void {
    this.members.add(connection)
  }

  /** Takes a connection out for the one reason it ended for, and says which that was. */
  end(connection: C, reason: EndReason): EndReason {
    if (!this.members.delete(connection)) return this.closers.delete(connection) ? "closer" : reason
    this.tally?.add(reason)
    return reason
  }

  /** Takes a connection out that has not ended: it goes back to the queue. */
  remove(connection: C): boolean {
    return this.members.delete(connection)
  }

  /** Sets a connection aside whose own handler asked for the close. */
  exempt(connection: C): boolean {
    if (!this.members.delete(connection)) return false
    this.tally?.add("closer")
    this.closers.add(connection)
    return true
  }

  /** Takes back a connection that was set aside: it is waited for again. */
  takeBack(connection: C): void {
    if (!this.closers.delete(connection)) return
    this.tally?.remove("closer")
    this.members.add(connection)
  }

  /** Whether it is open: taken, and not ended. */
  has(connection: C): boolean {
    return connection.list === this.members || connection.list === this.closers
  }

  oldest(): C | undefined {
    return this.members.first
  }

  /** Those of which it is true, oldest first. Goes over all of them once: there may be thousands. */
  filter(which: (connection: C) => boolean): Array<C> {
    return this.members.filter(which)
  }

  /** A copy, oldest first: what is done with one may change them. */
  snapshot(): Array<C> {
    return this.members.toArray()
  }
}

/**
 * The requests of one HTTP/1 connection that have no answer yet, oldest first:
 * they are answered in their order (RFC 9112, section 9.3.2). A limited number is
 * executed side by side; the others wait for an answer to go out.
 */
import type * as Http from "node:http"
import type { Begun } from "../protocol.ts"

export interface Unanswered extends Begun {
  readonly request: Http.IncomingMessage
  readonly response: Http.ServerResponse
  readonly expectsContinue: boolean
  next: Unanswered | undefined
}

/** A linked list: its ends cost the same however many there are. */
export class Pipeline {
  oldest: Unanswered | undefined
  newest: Unanswered | undefined
  /** The first that is not executed yet. */
  private waiting: Unanswered | undefined
  private executing = 0

  /** Answers whether it may be executed now. */
  push(one: Unanswered, limit: number): boolean {
    if (this.newest === undefined) this.oldest = one
    else this.newest.next = one
    this.newest = one
    if (this.waiting === undefined && this.executing < limit) {
      this.executing++
      return true
    }
    this.waiting ??= one
    return false
  }

  /** The oldest is answered, or ends without an answer. */
  shift(): void {
    const { oldest } = this
    if (oldest === undefined) return
    this.oldest = oldest.next
    if (this.oldest === undefined) this.newest = undefined
    if (this.waiting === oldest) this.waiting = oldest.next
    else this.executing--
  }

  /** The next that may be executed now; it counts as executed. */
  take(limit: number): Unanswered | undefined {
    const { waiting } = this
    if (waiting === undefined || this.executing >= limit) return undefined
    this.executing++
    this.waiting = waiting.next
    return waiting
  }

  /** Some wait to be executed. */
  get full(): boolean {
    return this.waiting !== undefined
  }
}

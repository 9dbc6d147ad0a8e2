import { Wakers } from "../socket/wakers.ts"

/**
 * What a process waits for that shares its sockets with one that serves
 * already: a process that listens accepts, so it listens when it is told to go.
 */
export class Gate {
  private passed: boolean
  private readonly waiting = new Wakers()

  constructor(open: boolean) {
    this.passed = open
  }

  get isOpen(): boolean {
    return this.passed
  }

  /** Calls back when it is open, which may be at once; the result takes the call back. */
  whenOpen(pass: () => void): () => void {
    if (this.passed) {
      pass()
      return () => {}
    }
    this.waiting.add(pass)
    return () => this.waiting.delete(pass)
  }

  open(): void {
    this.passed = true
    this.waiting.wake()
  }
}

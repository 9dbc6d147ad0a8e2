import * as Output from "../display/output.ts"
import { shown } from "../platform/causeText.ts"
import { worst } from "./exitCode.ts"

/** A main program, as the process it runs in sees it. */
export interface Main {
  /** An uncaught error drains the listeners, and is not only named. */
  readonly drainsUncaught: boolean
  /** Begins to close, for a reason that is another program's as well. */
  readonly close: (reason: string) => void
  readonly onUncaught: (error: unknown) => void
  /** What it has in flight, a line each. */
  readonly inFlight: () => ReadonlyArray<string>
  /** Says what is cut by an exit that waits for nothing. */
  readonly onForce: (reason: string) => void
  /** Takes back what it listens to. */
  readonly release: () => void
}

/**
 * The main programs of this process. A process has one stdout, one set of signal
 * handlers and one exit code, so this is the one thing here that is not a
 * program's own: the last program to end exits, with the worst code.
 */
class Mains {
  private readonly running = new Set<Main>()
  private readonly ended: Array<Main> = []
  private readonly codes: Array<number> = []
  private closing: string | undefined
  private takeBack: (() => void) | undefined
  private block: (() => void) | undefined

  begin(main: Main): void {
    this.takeBack ??= this.listen()
    if (main.drainsUncaught && !this.drainsUncaught) process.on("uncaughtException", this.onUncaught)
    this.running.add(main)
    // a program that starts while the others are closed is not what was meant to stay
    if (this.closing !== undefined) main.close(this.closing)
  }

  private get drainsUncaught(): boolean {
    return Array.from(this.running).some((main) => main.drainsUncaught)
  }

  /** A program begins to close because of something that concerns the process. */
  closes(reason: string): void {
    this.closing = reason
    this.block ??= Output.unblock()
  }

  /** A program has ended. The process goes on while others run, or while something keeps it alive after a good end. */
  end(main: Main, code: number): void {
    if (!this.running.delete(main)) return
    this.codes.push(code)
    // its handlers stay until the exit: a late copy of its signal would end the process with another code
    if (this.closing === undefined) main.release()
    else this.ended.push(main)
    if (this.running.size > 0) {
      // the others did not ask for what an uncaught error does otherwise
      if (!this.drainsUncaught) process.removeListener("uncaughtException", this.onUncaught)
      return
    }
    if (this.closing === undefined && worst(this.codes) === 0) return this.release()
    // in the next turn: others that waited for the same close may have something to print, or another program begins
    setImmediate(() => {
      if (this.running.size === 0) this.exit(worst(this.codes))
    })
  }

  /** Ends the process without waiting for anything but what was written. */
  force(reason: string, code: number): void {
    for (const main of Array.from(this.running)) main.onForce(reason)
    this.exit(code)
  }

  private exit(code: number): void {
    Output.flush(() => {
      for (const main of [...this.ended, ...this.running]) main.release()
      this.release()
      this.block?.()
      process.exit(code)
    })
  }

  private listen(): () => void {
    const unguard = Output.guard()
    process.on("uncaughtExceptionMonitor", this.onDeath)
    return () => {
      process.removeListener("uncaughtExceptionMonitor", this.onDeath)
      process.removeListener("uncaughtException", this.onUncaught)
      unguard()
    }
  }

  private release(): void {
    this.takeBack?.()
    this.takeBack = undefined
  }

  /** An uncaught error is about to end the process, unless it is handled. */
  private readonly onDeath = (): void => {
    if (process.listenerCount("uncaughtException") > 0) return
    const lines = Array.from(this.running).flatMap((main) => main.inFlight())
    Output.writeNow(
      `uncaught error; cut by it: ${lines.length === 0 ? "nothing" : ""}\n${
        lines.map((line) => `  ${line}\n`).join("")
      }`
    )
  }

  private readonly onUncaught = (error: unknown): void => {
    const mains = Array.from(this.running)
    const first = mains.find((main) => main.drainsUncaught)
    // the last program has ended, and what was written is on its way out
    if (first === undefined) return Output.write(`${shown(error)}\n`)
    first.onUncaught(error)
    for (const main of mains) if (main !== first) main.close("uncaught error")
  }
}

export const mains = new Mains()

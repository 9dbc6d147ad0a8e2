/**
 * A program that a service manager has started: systemd, with sockets it may
 * have to take, and with a place where it says how far it is.
 */
import type { DrainProgress } from "@effect-listener/core/Drain"
import * as Result from "effect/Result"
import { spawn } from "node:child_process"
import { performance } from "node:perf_hooks"
import * as ProgressLine from "../../display/progressLine.ts"
import { describe, inheritedSockets } from "../../inherit/inheritedSockets.ts"
import { assignments, type ServiceEvent } from "./notifications.ts"

/** What of the program it needs. */
export interface ManagedProgram {
  readonly warn: (message: string) => void
  /** Ends it, as one that failed. */
  readonly fail: (detail: string) => void
}

/** How long after its listeners take connections a program may still take a socket it was given (ms). */
const adoptWithin = 5000

/** Node has no Unix datagrams: systemd's own program says it, one after the other. */
const notifier = "systemd-notify"

export class ServiceManager {
  private readonly program: ManagedProgram
  private readonly notifies: boolean
  /** What is still to be said; a newer state goes before an older one that was not said yet. */
  private queue: Array<ServiceEvent> = []
  private running = false
  private readonly waiting: Array<() => void> = []
  private ready = false
  private missing = false
  private extendedAt = performance.now()
  private toldAt = -Infinity

  constructor(program: ManagedProgram, env: Record<string, string | undefined>) {
    this.program = program
    this.notifies = env["NOTIFY_SOCKET"] !== undefined && env["NOTIFY_SOCKET"] !== ""
  }

  /** All listeners there are take connections. */
  onReady(): void {
    if (this.ready) return
    this.ready = true
    this.say({ type: "Ready" })
    setTimeout(() => this.checkTaken(), adoptWithin).unref()
  }

  onClosing(line: string): void {
    this.ready = true
    this.extendedAt = performance.now()
    this.say({ type: "Closing", line })
  }

  onProgress(closes: ReadonlyArray<DrainProgress>): void {
    const now = performance.now()
    const summary = now - this.toldAt < 1000 ? undefined : ProgressLine.summary(closes)
    if (summary === undefined) return
    const line = ProgressLine.format(summary)
    this.toldAt = now
    const event: ServiceEvent = { type: "Progress", line, sinceExtended: now - this.extendedAt }
    if (assignments(event).length > 1) this.extendedAt = now
    this.queue = this.queue.filter(({ type }) => type !== "Progress")
    this.say(event)
  }

  onHandedOver(pid: number): void {
    this.say({ type: "HandedOver", pid })
  }

  /** Calls back when all is said. */
  whenSaid(done: () => void): void {
    if (this.running) this.waiting.push(done)
    else done()
  }

  /** Clients of a socket that nothing has taken wait for ever, and everything else looks well. */
  private checkTaken(): void {
    const inherited = inheritedSockets()
    if (Result.isFailure(inherited)) return
    const untaken = inherited.success.untaken.filter(({ from }) => from === "systemd")
    if (untaken.length === 0) return
    this.program.fail(
      `no listener has taken inherited socket ${untaken.map(describe).join(", ")}: its clients would wait for ever`
    )
  }

  private say(event: ServiceEvent): void {
    if (!this.notifies || this.missing) return
    this.queue.push(event)
    if (!this.running) this.next()
  }

  private next(): void {
    const event = this.queue.shift()
    if (event === undefined) {
      this.running = false
      const waiting = this.waiting.splice(0)
      for (const done of waiting) done()
      return
    }
    this.running = true
    const child = spawn(notifier, ["--no-block", ...assignments(event)], { stdio: "ignore" })
    child.once("error", (cause) => {
      this.missing = true
      this.queue = []
      this.program.warn(`cannot tell the service manager: ${notifier}: ${cause.message}`)
      this.next()
    })
    child.once("exit", () => this.next())
    // a program that has ended is not held by what it still says
    child.unref()
  }
}

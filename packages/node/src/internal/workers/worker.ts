/**
 * One worker of a supervisor: what its process says becomes what happened, and
 * a process that does not do what it should in time is ended.
 */
import type { DrainReport } from "@effect-listener/core/DrainReport"
import { longestTimer } from "@effect-listener/core/DurationOption"
import * as ListenerMetrics from "@effect-listener/core/ListenerMetrics"
import type { WorkerReport } from "../../NodeWorkers.ts"
import type { Message } from "../inherit/protocol.ts"
import { total } from "../inspector/workerMetrics.ts"
import { causeText } from "../platform/causeText.ts"
import { listenersOf } from "../reports/reports.ts"
import type { HeldSocket } from "./heldSockets.ts"
import type { Settings } from "./options.ts"
import type { How, Phase } from "./supervisorState.ts"
import { type Exit, launch, type WorkerProcess } from "./workerProcess.ts"

export interface Place {
  readonly id: number
  readonly slot: number
  readonly generation: number
  readonly settings: Settings
  readonly sockets: ReadonlyArray<HeldSocket>
}

export interface Handlers {
  readonly onPrepared: () => void
  readonly onAccepting: () => void
  /** It closes, and was not asked to. */
  readonly onLeaving: (how: How) => void
  readonly onExit: (how: How) => void
}

export interface Stop {
  readonly reason: string
  /** Milliseconds; may be `Infinity`. */
  readonly deadline: number
  readonly queue: "sweep" | "leave"
  readonly killAfter: number
}

export class Worker {
  readonly id: number
  readonly slot: number
  readonly generation: number
  readonly pid: number | null
  /** What it said of its metrics last. */
  exposition: string | undefined
  private readonly handlers: Handlers
  private readonly process: WorkerProcess
  private readonly startedAt = Date.now()
  private acceptingAt: number | undefined
  private stoppedAt: number | undefined
  private timer: NodeJS.Timeout | undefined
  /** What it waits for before it is prepared, as it says. */
  private waitsFor: string | undefined
  /** Why it was ended by force, or would not start. */
  private fault: Pick<How, "reason" | "detail"> | undefined
  private asked = false
  private exit: Exit | undefined
  private readonly listeners: Array<DrainReport> = []
  private readonly questions = new Map<number, (body: unknown) => void>()
  private nextQuestion = 0

  constructor(place: Place, handlers: Handlers) {
    const { generation, id, settings, slot, sockets } = place
    this.id = id
    this.slot = slot
    this.generation = generation
    this.handlers = handlers
    this.process = launch({
      program: settings.program,
      args: settings.args,
      execArgv: settings.execArgv,
      cwd: settings.cwd,
      env: () => settings.env({ slot, generation }),
      generation,
      sockets,
      ticketKeys: settings.ticketKeys
    }, {
      onMessage: (message) => this.hear(message),
      onNonsense: (what) => this.end({ reason: "Refused", detail: `it said what is ${what}` }),
      onExit: (exit) => this.onExit(exit)
    })
    this.pid = this.process.pid ?? null
    this.timer = setTimeout(() => {
      const waits = this.waitsFor === undefined ? "" : `; it waits for ${this.waitsFor}`
      this.end({ reason: "TimedOut", detail: `was not ready within ${settings.readyWithin} ms${waits}` })
    }, Math.min(settings.readyWithin, longestTimer))
  }

  go(): void {
    this.process.send({ type: "go", tries: 0 })
  }

  stop({ deadline, killAfter, queue, reason }: Stop): void {
    this.asked = true
    this.stoppedAt ??= Date.now()
    this.process.send({ type: "close", reason, queue, ...Number.isFinite(deadline) ? { deadline } : {} })
    clearTimeout(this.timer)
    if (killAfter <= longestTimer) {
      this.timer = setTimeout(() => this.end({ reason: "TimedOut", detail: "did not end in time" }), killAfter)
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.stoppedAt ??= Date.now()
    this.process.kill(signal)
  }

  /** Asks it something; the answer comes or does not. The result takes the question back. */
  ask(about: string, answer: (body: unknown) => void): () => void {
    const id = ++this.nextQuestion
    this.questions.set(id, answer)
    this.process.send({ type: "ask", id, about, body: null })
    return () => {
      this.questions.delete(id)
    }
  }

  /** Milliseconds from its start until it accepted. */
  get readyAfter(): number {
    return (this.acceptingAt ?? this.startedAt) - this.startedAt
  }

  /** When it entered the phase, in milliseconds since 1970. */
  since(phase: Phase): number {
    return (phase === "Accepting"
      ? this.acceptingAt
      : phase === "Draining" || phase === "Killed"
      ? this.stoppedAt
      : undefined) ??
      this.startedAt
  }

  /** How many connections it has let in, as it said last. */
  get accepted(): number {
    return this.exposition === undefined ? 0 : total(this.exposition, ListenerMetrics.connectionsAccepted.id)
  }

  get report(): WorkerReport {
    return {
      pid: this.pid,
      slot: this.slot,
      generation: this.generation,
      code: this.exit?.code ?? null,
      signal: this.exit?.signal ?? null,
      accepted: this.accepted,
      listeners: this.listeners
    }
  }

  private hear(message: Message): void {
    switch (message.type) {
      case "waiting":
        this.waitsFor = message.detail
        return
      case "prepared":
        return this.handlers.onPrepared()
      case "accepting":
        clearTimeout(this.timer)
        this.acceptingAt ??= Date.now()
        return this.handlers.onAccepting()
      case "failed":
        this.fault ??= { reason: "Refused", detail: message.detail }
        return
      case "report":
        this.listeners.push(...listenersOf(message.report))
        return
      case "answer": {
        const answer = this.questions.get(message.id)
        this.questions.delete(message.id)
        return answer?.(message.body)
      }
      case "closing":
        this.stoppedAt ??= Date.now()
        if (!this.asked) this.handlers.onLeaving(this.how("closed by itself"))
        return
      case "metrics":
        this.exposition = message.text
        return
      case "ask":
      case "go":
      case "close":
        // a holder's words
        return
    }
  }

  private end(fault: Pick<How, "reason" | "detail">): void {
    this.fault ??= fault
    this.kill("SIGKILL")
  }

  private onExit(exit: Exit): void {
    clearTimeout(this.timer)
    this.exit = exit
    for (const answer of this.questions.values()) answer(undefined)
    this.questions.clear()
    this.handlers.onExit(this.how(this.fault?.detail ?? describe(exit)))
  }

  private how(detail: string): How {
    const reason = this.fault?.reason ?? (this.pid === null ? "Spawn" : "Exited")
    return { pid: this.pid ?? undefined, reason, detail }
  }
}

const describe = ({ cause, code, signal }: Exit): string =>
  cause !== undefined
    ? `could not be started: ${causeText(cause)}`
    : signal !== undefined
    ? `was ended by ${signal}`
    : `ended with code ${code ?? "unknown"}`

/**
 * The side of a process that was started by one that holds its sockets: it says
 * how far it is, listens when it is told to, answers, and reports its close.
 */
import type { DrainReport } from "@effect-listener/core/DrainReport"
import * as Result from "effect/Result"
import * as Net from "node:net"
import { describe, type InheritedSockets, inheritedSockets } from "./inheritedSockets.ts"
import { prove } from "./proof.ts"
import { encode, type Inheritance, makeDecoder, type Message, type Report } from "./protocol.ts"

/** What the program of this process does for its holder. */
export interface Program {
  /** Closes, as at a signal. Milliseconds. */
  readonly close: (options: {
    readonly reason: string
    readonly deadline?: number | undefined
    readonly queue?: "sweep" | "leave" | undefined
  }) => void
  /** It cannot listen: it ends as one that failed. */
  readonly fail: (detail: string) => void
  /** What is not served yet, by name; nothing when all listeners take connections. */
  readonly unserved: () => ReadonlyArray<string>
  /** The one that held the sockets has closed, and says how; `undefined` when it ended without a word. */
  readonly onPredecessor: (report: Report | undefined) => void
  readonly onAccepting: () => void
  /** Answers in plain data; `undefined` to what it does not know. Never rejects. */
  readonly answer: (about: string) => Promise<unknown>
}

/** How long the last words may take to reach the holder (ms). */
const lastWordsLimit = 1000

export class Successor {
  readonly holder: Inheritance
  private readonly sockets: InheritedSockets
  private readonly program: Program
  private readonly channel: Net.Socket
  private said: "nothing" | "prepared" | "accepting" = "nothing"
  private waitsFor = ""
  private reported = false
  private tries = 0
  private proving = false
  private gone = false
  private failed = false

  constructor(sockets: InheritedSockets, holder: Inheritance, program: Program) {
    this.holder = holder
    this.sockets = sockets
    this.program = program
    this.channel = new Net.Socket({ fd: holder.channel, readable: true, writable: true, allowHalfOpen: true })
    const decode = makeDecoder()
    this.channel.setEncoding("utf8")
    this.channel.on("data", (text: string) => {
      for (const message of decode(text)) if (Result.isSuccess(message)) this.hear(message.success)
    })
    // the end of the channel is the end of the holder, however it comes
    this.channel.on("error", () => this.onGone())
    this.channel.on("end", () => this.onGone())
    // A program that has ended is not held by its supervisor. One that waits for its go has nothing else to live for:
    // it listens nowhere.
    if (sockets.gate.isOpen) this.channel.unref()
    sockets.onChange = () => this.look()
    this.look()
  }

  /** It has begun to close. */
  closing(): void {
    this.say({ type: "closing" })
  }

  report(report: DrainReport): void {
    this.say({ type: "report", report })
  }

  /** Says its last metrics, if there are any, and calls back when the holder has all that was said, or will not. */
  finish(metrics: string | undefined, done: () => void): void {
    if (this.gone) return done()
    let told = false
    const once = (): void => {
      if (told) return
      told = true
      clearTimeout(timer)
      done()
    }
    const timer = setTimeout(once, lastWordsLimit)
    this.channel.once("close", once)
    this.channel.write(metrics === undefined ? "" : encode({ type: "metrics", text: metrics }), once)
  }

  /** How far it is, looked at anew whenever a socket or a listener has changed. */
  look(): void {
    const { allListen, failure, gate, untaken } = this.sockets
    if (failure !== undefined && !this.failed) {
      this.failed = true
      this.say({ type: "failed", detail: failure })
      return this.program.fail(failure)
    }
    if (this.said === "nothing") {
      const unserved = this.program.unserved()
      if (untaken.length === 0 && unserved.length === 0) {
        this.said = "prepared"
        this.say({ type: "prepared" })
        return this.look()
      }
      const detail = untaken.length > 0
        ? `a listener that takes ${untaken.map(describe).join(", ")}`
        : `something that serves ${unserved.join(", ")}`
      if (detail !== this.waitsFor) this.say({ type: "waiting", detail: this.waitsFor = detail })
      return
    }
    if (this.said === "prepared" && gate.isOpen && allListen) this.proveAll()
  }

  /** Connections of its own reach it at every address; where no other process has the sockets, that needs no proof. */
  private proveAll(): void {
    if (this.proving) return
    this.proving = true
    const sockets = this.tries === 0 || this.gone ? [] : this.sockets.provable
    let left = sockets.length
    let probes = 0
    if (left === 0) return this.accepts(0)
    for (const socket of sockets) {
      prove(socket, this.tries, (took) => {
        if (took === undefined) {
          // the holder decides what becomes of it
          return this.say({
            type: "failed",
            detail: `none of ${this.tries} connections to ${describe(socket)} came to it`
          })
        }
        probes += took
        if (--left === 0) this.accepts(probes)
      })
    }
  }

  private accepts(probes: number): void {
    this.said = "accepting"
    this.say({ type: "accepting", probes })
    this.program.onAccepting()
  }

  private hear(message: Message): void {
    switch (message.type) {
      case "go":
        this.tries = message.tries
        this.channel.unref()
        this.sockets.gate.open()
        return this.look()
      case "close":
        return this.program.close(message)
      case "report":
        if (this.holder.from !== "predecessor") return
        this.reported = true
        return this.program.onPredecessor(message.report)
      case "ask":
        void this.program.answer(message.about).then((body) => {
          // JSON drops what is undefined, and an answer without a body is no message
          this.say({ type: "answer", id: message.id, body: body ?? null })
        })
        return
      default:
        // a successor's own words
        return
    }
  }

  /** A supervisor that is gone takes its workers with it; where a predecessor is gone, no other process serves. */
  private onGone(): void {
    if (this.gone) return
    this.gone = true
    this.channel.destroy()
    if (this.holder.from === "supervisor") return this.program.close({ reason: "the supervisor is gone" })
    if (!this.reported) this.program.onPredecessor(undefined)
    this.sockets.gate.open()
    this.look()
  }

  private say(message: Message): void {
    if (!this.gone) this.channel.write(encode(message))
  }
}

/** Begins to talk to the holder of the sockets of this process, if there is one. */
export const attach = (program: Program): Successor | undefined => {
  const inherited = inheritedSockets()
  // a variable that cannot be believed is an error of every transport that asks
  if (Result.isFailure(inherited)) return undefined
  const { holder } = inherited.success
  return holder === undefined ? undefined : new Successor(inherited.success, holder, program)
}

/**
 * One worker as its supervisor has it: a process, and the channel over which
 * the two talk.
 */
import * as Result from "effect/Result"
import { type ChildProcess, spawn } from "node:child_process"
import type { Duplex } from "node:stream"
import { environmentWithoutInspector } from "../handover/command.ts"
import { encode, makeDecoder, type Message, passOn } from "../inherit/protocol.ts"
import type { HeldSocket } from "./heldSockets.ts"

export interface Launch {
  /** The program's file. */
  readonly program: string
  readonly args: ReadonlyArray<string>
  readonly execArgv: ReadonlyArray<string>
  readonly cwd: string | undefined
  /** May throw: it is the user's. */
  readonly env: () => Record<string, string>
  /** How many replacements came before. */
  readonly generation: number
  readonly sockets: ReadonlyArray<HeldSocket>
  /** What TLS tickets are sealed with, if not each worker's own keys. */
  readonly ticketKeys: string | undefined
}

/** How a process ended; neither code nor signal where it was never started. */
export interface Exit {
  readonly code: number | undefined
  readonly signal: NodeJS.Signals | undefined
  readonly cause: unknown
}

export interface Handlers {
  readonly onMessage: (message: Message) => void
  /** Something came that is no message. */
  readonly onNonsense: (what: string) => void
  /** Once, after its last message. */
  readonly onExit: (exit: Exit) => void
}

export interface WorkerProcess {
  readonly pid: number | undefined
  readonly send: (message: Message) => void
  readonly kill: (signal: NodeJS.Signals) => void
}

/** What a process that has ended may still have left in the channel is there within this time (ms). */
const lastWordsLimit = 1000

export const launch = (options: Launch, handlers: Handlers): WorkerProcess => {
  let child: ChildProcess
  const { args, cwd, env, execArgv, generation, program, sockets, ticketKeys } = options
  const passed = passOn(
    { from: "supervisor", pid: process.pid, generation, ...ticketKeys === undefined ? {} : { ticketKeys } },
    sockets
  )
  try {
    child = spawn(process.execPath, [...execArgv, program, ...args], {
      cwd,
      env: { ...environmentWithoutInspector(process.env), ...env(), ...passed.env },
      stdio: ["ignore", "inherit", "inherit", ...passed.stdio]
    })
  } catch (cause) {
    setImmediate(() => handlers.onExit({ code: undefined, signal: undefined, cause }))
    return { pid: undefined, send: () => {}, kill: () => {} }
  }
  // the last of `stdio`; undefined where the process could not be started
  const channel = child.stdio[passed.channel] as Duplex | null | undefined
  let exit: Exit | undefined
  let silent = channel === null || channel === undefined
  let told = false
  const tell = (): void => {
    if (told || exit === undefined) return
    told = true
    channel?.destroy()
    handlers.onExit(exit)
  }
  const end = (how: Exit): void => {
    if (exit !== undefined) return
    exit = how
    if (silent) tell()
    else setTimeout(tell, lastWordsLimit).unref()
  }
  child.once("error", (cause) => {
    // also that a signal could not be sent: then it runs on
    if (child.pid === undefined) end({ code: undefined, signal: undefined, cause })
  })
  child.once("exit", (code, signal) => end({ code: code ?? undefined, signal: signal ?? undefined, cause: undefined }))
  if (channel !== null && channel !== undefined) {
    const decode = makeDecoder()
    channel.setEncoding("utf8")
    channel.on("data", (text: string) => {
      for (const message of decode(text)) {
        if (Result.isSuccess(message)) handlers.onMessage(message.success)
        else handlers.onNonsense(message.failure)
      }
    })
    // one that ended while it was written to: its exit says it
    channel.on("error", () => {})
    channel.once("close", () => {
      silent = true
      tell()
    })
  }
  return {
    pid: child.pid,
    send: (message) => {
      if (channel?.writable === true) channel.write(encode(message))
    },
    kill: (signal) => {
      child.kill(signal)
    }
  }
}

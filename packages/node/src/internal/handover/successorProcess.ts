/**
 * The successor as its predecessor has it: a process, and the channel over
 * which the two talk.
 */
import type * as Result from "effect/Result"
import { type ChildProcess, spawn } from "node:child_process"
import type { Duplex } from "node:stream"
import { encode, type Inheritance, makeDecoder, type Message, passOn } from "../inherit/protocol.ts"
import type { Shareable } from "../inherit/sharing.ts"
import { causeText } from "../platform/causeText.ts"
import type { Command } from "./command.ts"

export interface Handlers {
  /** All that came at once, so that what is said twice is heard before the first is believed. */
  readonly onMessages: (messages: ReadonlyArray<Result.Result<Message, string>>) => void
  /** The channel has ended. */
  readonly onSilent: () => void
  /** Once, and last. */
  readonly onEnd: (how: string) => void
}

export interface SuccessorProcess {
  readonly pid: number
  readonly send: (message: Message) => void
  readonly kill: () => void
  /** Says the last, and calls back when it was heard, or will not be. This process may end then. */
  readonly leave: (message: Message, done: () => void) => void
  /** It keeps this process alive no longer. */
  readonly release: () => void
}

/** How long the last words may take (ms). */
const lastWordsLimit = 1000

/** Starts it, or says why it could not be started. */
export const launch = (
  command: Command,
  holder: Pick<Inheritance, "pid" | "generation">,
  sockets: ReadonlyArray<Shareable>,
  handlers: Handlers
): Promise<SuccessorProcess | string> =>
  new Promise((resolve) => {
    const passed = passOn({ from: "predecessor", ...holder }, sockets)
    let child: ChildProcess
    try {
      child = spawn(command.node, command.args, {
        cwd: command.cwd,
        env: { ...command.env, ...passed.env },
        stdio: ["ignore", "inherit", "inherit", ...passed.stdio]
      })
    } catch (cause) {
      resolve(`could not be started: ${causeText(cause)}`)
      return
    }
    child.once("error", (cause) => {
      // also that a signal could not be sent: then it runs on
      if (child.pid === undefined) resolve(`could not be started: ${cause.message}`)
    })
    const { pid } = child
    if (pid === undefined) return
    // the last of `stdio`, which is a pipe
    const channel = child.stdio[passed.channel] as Duplex
    const decode = makeDecoder()
    let silent = false
    channel.setEncoding("utf8")
    channel.on("data", (text: string) => handlers.onMessages(decode(text)))
    const onSilent = (): void => {
      if (silent) return
      silent = true
      // an exit is told by the process itself, and that says more
      setImmediate(() => setImmediate(handlers.onSilent))
    }
    channel.on("error", onSilent)
    channel.on("end", onSilent)
    child.once("exit", (code, signal) => {
      channel.destroy()
      handlers.onEnd(signal === null ? `ended with code ${code}` : `was ended by ${signal}`)
    })
    resolve({
      pid,
      send: (message) => {
        if (channel.writable) channel.write(encode(message))
      },
      kill: () => {
        child.kill("SIGKILL")
      },
      leave: (message, done) => {
        let told = false
        const once = (): void => {
          if (told) return
          told = true
          clearTimeout(timer)
          channel.destroy()
          done()
        }
        const timer = setTimeout(once, lastWordsLimit)
        // by the end of its side it says that it has read this: it can be handed over itself from then on
        channel.once("close", once)
        if (channel.writable) channel.end(encode(message))
        else once()
      },
      release: () => child.unref()
    })
  })

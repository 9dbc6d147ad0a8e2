/** A server of the demo in a process of its own. */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

export interface ServerProcess {
  readonly port: number
  readonly signal: (signal: NodeJS.Signals) => void
  /** Waits for the next line of stdout with this `event`. */
  readonly next: (event: string) => Promise<void>
  /** Milliseconds until it had ended, or undefined when it has not after `ms`. */
  readonly endedWithin: (ms: number) => Promise<number | undefined>
  /** Ends it for good, if it has not ended. */
  readonly kill: () => Promise<void>
  /** Its exit code once it has ended by itself. */
  readonly exitCode: () => number | undefined
  /** The JSON lines of its stdout so far. */
  readonly events: ReadonlyArray<Record<string, unknown>>
}

/** Starts a program and waits for its `open` line; `onLog` gets the lines of its stderr. */
export const start = async (
  file: URL,
  options: { readonly env?: Record<string, string>; readonly onLog?: (line: string) => void } = {}
): Promise<ServerProcess> => {
  const child = spawn(process.execPath, [fileURLToPath(file)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env }
  })
  const events: Array<Record<string, unknown>> = []
  const exit = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  const errors: Array<string> = []
  createInterface(child.stderr).on("line", (line) => {
    errors.push(line)
    options.onLog?.(line)
  })
  const waiting = new Map<string, () => void>()
  const opened = new Promise<number>((resolve, reject) => {
    createInterface(child.stdout).on("line", (line) => {
      const event: Record<string, unknown> = JSON.parse(line)
      events.push(event)
      waiting.get(String(event["event"]))?.()
      if (event["event"] === "open") resolve(Number(event["port"]))
    })
    child.once("close", () => reject(new Error(`${fileURLToPath(file)} did not open:\n${errors.join("\n")}`)))
  })
  return {
    port: await opened,
    events,
    signal: (signal) => child.kill(signal),
    next: (event) => new Promise((resolve) => waiting.set(event, resolve)),
    exitCode: () => child.exitCode ?? undefined,
    endedWithin: async (ms) => {
      const began = performance.now()
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<undefined>((resolve) => {
        timer = setTimeout(() => resolve(undefined), ms)
      })
      const took = await Promise.race([exit.then(() => performance.now() - began), late])
      clearTimeout(timer)
      return took
    },
    kill: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
      await exit
    }
  }
}

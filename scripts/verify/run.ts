/**
 * Runs one step of `verify`: commands one after another, with a bound on the whole and nothing left running.
 */
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import * as Util from "node:util"

export interface Step {
  readonly name: string
  /** Run in this order; a failing one does not stop the next. */
  readonly commands: ReadonlyArray<readonly [executable: string, ...args: ReadonlyArray<string>]>
  /** Milliseconds for all commands together. */
  readonly timeout: number
  readonly env?: Record<string, string> | undefined
  /** Receives output as it comes; otherwise it is kept until the end. */
  readonly onOutput?: ((text: string) => void) | undefined
}

export interface Outcome {
  readonly name: string
  /** Why the step failed; `undefined` when it passed. */
  readonly failure: string | undefined
  readonly output: string
  readonly milliseconds: number
}

const running = new Set<ChildProcess.ChildProcess>()

/** Ends every command that is still running, with everything it started. */
export const stopAll = (): void => {
  for (const child of running) stop(child)
}

const stop = (child: ChildProcess.ChildProcess): void => {
  if (child.pid === undefined) return
  try {
    // the negative id is the process group: vitest's workers and the servers that tests start belong to it
    process.kill(-child.pid, "SIGKILL")
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error
  }
}

export const run = async (step: Step, root: string): Promise<Outcome> => {
  const started = performance.now()
  const deadline = started + step.timeout
  const chunks: Array<string> = []
  const failures: Array<string> = []
  const onOutput = (text: string) => {
    chunks.push(text)
    step.onOutput?.(text)
  }
  for (const [executable, ...args] of step.commands) {
    const failure = await execute(executable, args, { root, env: step.env, deadline, onOutput })
    if (failure === "timeout") {
      failures.push(`no end after ${step.timeout / 1000} s, stopped: ${[executable, ...args].join(" ")}`)
      break
    }
    if (failure !== undefined) failures.push(`${failure}: ${[executable, ...args].join(" ")}`)
  }
  return {
    name: step.name,
    failure: failures.length === 0 ? undefined : failures.join("; "),
    output: chunks.join(""),
    milliseconds: performance.now() - started
  }
}

const execute = (
  executable: string,
  args: ReadonlyArray<string>,
  options: {
    readonly root: string
    readonly env: Record<string, string> | undefined
    readonly deadline: number
    readonly onOutput: (text: string) => void
  }
): Promise<string | undefined> =>
  new Promise((resolve) => {
    const bin = Path.join(options.root, "node_modules", ".bin")
    const child = ChildProcess.spawn(executable, args, {
      cwd: options.root,
      env: {
        ...process.env,
        NO_COLOR: "1",
        PATH: `${bin}${Path.delimiter}${process.env["PATH"] ?? ""}`,
        ...options.env
      },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true
    })
    running.add(child)
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      stop(child)
    }, Math.max(0, options.deadline - performance.now()))
    const end = (failure: string | undefined) => {
      clearTimeout(timer)
      running.delete(child)
      resolve(failure)
    }
    // dprint colours its output whatever NO_COLOR says
    const forward = (text: string) => options.onOutput(Util.stripVTControlCharacters(text))
    child.stdout.setEncoding("utf8").on("data", forward)
    child.stderr.setEncoding("utf8").on("data", forward)
    child.on("error", (error) => end(`could not start (${error.message})`))
    // what a command leaves behind in its group would keep ports, files and this pipe open
    child.on("exit", () => stop(child))
    child.on("close", (code, signal) => {
      if (timedOut) return end("timeout")
      if (code === 0) return end(undefined)
      end(signal === null ? `exit code ${code}` : `ended by ${signal}`)
    })
  })

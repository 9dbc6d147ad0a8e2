/**
 * A program as a child process: its JSON lines, its stderr, its signals and its
 * exit, each as an effect that waits for the thing itself.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { Readable } from "node:stream"
import { fileURLToPath } from "node:url"

export interface Exit {
  /** The exit code; undefined when a signal ended the process. */
  readonly code: number | undefined
  readonly signal: NodeJS.Signals | undefined
  /** What it printed, whole, line by line. */
  readonly stdout: ReadonlyArray<string>
  readonly stderr: ReadonlyArray<string>
  /** What it printed on stdout, as it came. */
  readonly text: string
}

export interface Program {
  readonly pid: number
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Waits for a line of stdout, from the first on, that the function accepts, and answers what it made of it. */
  readonly stdout: <A>(f: (line: string) => A | undefined) => Effect.Effect<A, Error>
  /** The same for stderr. */
  readonly stderr: <A>(f: (line: string) => A | undefined) => Effect.Effect<A, Error>
  /** Waits for a JSON line with this `event`. */
  readonly event: (event: string) => Effect.Effect<Record<string, unknown>, Error>
  /** Waits for the `open` line and answers its port. */
  readonly port: Effect.Effect<number, Error>
  /** Waits for the end of the process and of its output. */
  readonly exit: Effect.Effect<Exit>
  /** Closes the reading end of an output. */
  readonly stopReading: (output: "stdout" | "stderr") => Effect.Effect<void>
  /** Reads no further: what is written fills the pipe, and then waits. */
  readonly pauseReading: (output: "stdout" | "stderr") => Effect.Effect<void>
  readonly resumeReading: Effect.Effect<void>
  /** Types on its terminal. */
  readonly type: (text: string) => Effect.Effect<void>
}

/**
 * Starts a TypeScript or JavaScript file with the Node that runs the tests. When
 * the scope closes, the process is killed if it has not ended.
 */
export const start = (
  file: URL,
  options: {
    readonly args?: ReadonlyArray<string> | undefined
    readonly env?: Record<string, string> | undefined
    /** How many files and sockets it may have open. Default: as many as this process. */
    readonly descriptors?: number | undefined
    /** Descriptors of this process that it gets as 3, 4 and so on; in text, what `spawn` makes of it. */
    readonly passed?: ReadonlyArray<number | "pipe" | "ignore"> | undefined
    /** What runs the file, in place of the Node that runs the tests. */
    readonly runtime?: ReadonlyArray<string> | undefined
    /** A shell command that runs `"$0" "$@"`, in place of running the program itself. */
    readonly shell?: string | undefined
    /** The descriptor its stderr goes to, instead of being read here. */
    readonly stderr?: number | undefined
    /** On a terminal of its own, which takes stdout and stderr together: needs the tool `script`. */
    readonly terminal?: boolean | undefined
  } = {}
): Effect.Effect<Program, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        launch(
          onTerminal(options.terminal === true, [
            ...through(options.shell),
            ...limit(options.descriptors),
            ...options.runtime ?? [process.execPath],
            fileURLToPath(file),
            ...options.args ?? []
          ]),
          options
        )
      ),
      ({ child, exit }) =>
        Effect.suspend(() => {
          if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
          return exit
        })
    ),
    ({ program }) => program
  )

/** A line that is a JSON object; a program may log to stdout as well. */
const parse = (line: string): Record<string, unknown> | undefined => {
  try {
    const json: unknown = JSON.parse(line)
    return typeof json === "object" && json !== null ? { ...json } : undefined
  } catch {
    return undefined
  }
}

/** Runs the command that follows with a limit, which only a shell can set. */
const limit = (descriptors: number | undefined): ReadonlyArray<string> =>
  descriptors === undefined ? [] : ["/bin/sh", "-c", `ulimit -n ${descriptors} && exec "$0" "$@"`]

const through = (shell: string | undefined): ReadonlyArray<string> =>
  shell === undefined ? [] : ["/bin/sh", "-c", shell]

const onTerminal = (wanted: boolean, command: ReadonlyArray<string>): ReadonlyArray<string> =>
  wanted
    // a shell that stays gets Ctrl-C, too, and some of them end by it whatever the program's exit code was
    ? ["script", "-qefc", `exec ${command.map((part) => `'${part.replaceAll("'", `'\\''`)}'`).join(" ")}`, "/dev/null"]
    : command

const launch = (
  [executable = "", ...args]: ReadonlyArray<string>,
  options: {
    readonly passed?: ReadonlyArray<number | "pipe" | "ignore"> | undefined
    readonly stderr?: number | undefined
    readonly terminal?: boolean | undefined
    readonly env?: Record<string, string> | undefined
  }
) => {
  const child = spawn(executable, args, {
    stdio: [
      options.terminal === true ? "pipe" : "ignore",
      "pipe",
      options.stderr ?? "pipe",
      ...options.passed ?? []
    ],
    env: {
      ...process.env,
      // what `script` runs the command by
      ...options.terminal === true ? { SHELL: "/bin/sh" } : {},
      ...options.env
    }
  })
  const outputs = { stdout: child.stdout ?? Readable.from([]), stderr: child.stderr ?? Readable.from([]) }
  const stdout = new Lines(outputs.stdout)
  const stderr = new Lines(outputs.stderr)
  const ended = Deferred.makeUnsafe<Exit>()
  // "close" comes after the last byte of stdout and stderr
  child.once("close", (code, signal) => {
    const exit: Exit = {
      code: code ?? undefined,
      signal: signal ?? undefined,
      stdout: stdout.all,
      stderr: stderr.all,
      text: stdout.text
    }
    Deferred.doneUnsafe(ended, Effect.succeed(exit))
    const ending = `ended with ${exit.code ?? exit.signal}:\n${[...stdout.all, ...stderr.all].join("\n")}`
    stdout.end(ending)
    stderr.end(ending)
  })
  const event = (name: string) =>
    stdout.find((line) => {
      const json = parse(line)
      return json?.["event"] === name ? json : undefined
    })
  const program: Program = {
    pid: child.pid ?? -1,
    signal: (signal) =>
      Effect.sync(() => {
        child.kill(signal)
      }),
    stdout: (f) => stdout.find(f),
    stderr: (f) => stderr.find(f),
    event,
    port: Effect.map(event("open"), (open) => Number(open["port"])),
    exit: Deferred.await(ended),
    stopReading: (output) => Effect.sync(() => void outputs[output].destroy()),
    pauseReading: (output) => Effect.sync(() => void outputs[output].pause()),
    resumeReading: Effect.sync(() => {
      outputs.stdout.resume()
      outputs.stderr.resume()
    }),
    type: (text) => Effect.sync(() => void child.stdin?.write(text))
  }
  return { child, program, exit: Deferred.await(ended) }
}

/** The lines of an output, and what waits for one of them. */
class Lines {
  readonly all: Array<string> = []
  text = ""
  private readonly waiting = new Set<() => void>()
  private ended: string | undefined

  constructor(output: Readable) {
    output.on("data", (chunk: Buffer) => {
      this.text += chunk.toString("utf8")
    })
    createInterface(output).on("line", (line) => {
      this.all.push(line)
      this.wake()
    })
  }

  find<A>(f: (line: string) => A | undefined): Effect.Effect<A, Error> {
    return Effect.callback<A, Error>((resume) => {
      let seen = 0
      const look = (): void => {
        for (; seen < this.all.length; seen++) {
          const found = f(this.all[seen]!)
          if (found === undefined) continue
          this.waiting.delete(look)
          return resume(Effect.succeed(found))
        }
        if (this.ended === undefined) return
        this.waiting.delete(look)
        resume(Effect.fail(new Error(`the line did not come; the process ${this.ended}`)))
      }
      this.waiting.add(look)
      look()
      return Effect.sync(() => this.waiting.delete(look))
    })
  }

  end(how: string): void {
    this.ended = how
    this.wake()
  }

  private wake(): void {
    for (const look of Array.from(this.waiting)) look()
  }
}

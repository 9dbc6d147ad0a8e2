/** `programs/workers.ts` as a process, and what its tests ask of it. */
import type { Inspection } from "@effect-listener/node/ListenerInspector"
import type { ReplaceReport, WorkersReport } from "@effect-listener/node/NodeWorkers"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { selfSigned } from "./certificates.ts"
import { folder } from "./listening.ts"
import * as Process from "./process.ts"

/** What a worker serves. */
export type Kind = "http" | "https" | "http2" | "webSocket" | "tcp" | "tls" | "unix" | "rpc"

/** Those whose protocol is lines, each of which is an exchange. */
export const lines: ReadonlySet<Kind> = new Set(["tcp", "tls", "unix"])

/**
 * What the next worker does before it serves: it loads until it is told that it has, hangs, ends, or has a metric
 * that throws and members of its registry that die, or do not answer, when they are asked for their listeners.
 */
export type Behaviour = "serve" | "load" | "hang" | "exit" | "broken"

/** A line about one worker. */
export interface Line {
  readonly what: "Started" | "Accepting" | "Crashed" | "Replaced" | "RolledBack" | "GaveUp"
  readonly pid: number
  readonly slot: number
  readonly generation: number
  /** When the supervisor told it, in milliseconds. */
  readonly at: number
  readonly detail?: string
}

export interface Supervisor {
  readonly program: Process.Program
  /** Where clients connect to. */
  readonly target: { readonly port: number; readonly host: string } | { readonly path: string }
  readonly inspection: Effect.Effect<Inspection>
  readonly metrics: Effect.Effect<string>
  readonly status: (path: string) => Effect.Effect<number>
  /** The process ids of the workers there are. */
  readonly pids: Effect.Effect<ReadonlyArray<number>>
  /** Waits for a line about a worker that the function accepts, from the first on. */
  readonly line: (accept: (line: Line) => boolean) => Effect.Effect<Line>
  /** Tells it to replace all, and waits for the end. */
  readonly replace: (signal?: "SIGUSR2" | "SIGHUP") => Effect.Effect<ReplaceReport>
  readonly behave: (behaviour: Behaviour) => Effect.Effect<void>
  /** Lets those go on that load. */
  readonly loaded: Effect.Effect<void>
  /** Ends it, asserts the exit code, and answers the report. */
  readonly end: (code?: number) => Effect.Effect<WorkersReport>
}

const program = new URL("../programs/workers.ts", import.meta.url)

export const start = (
  kind: Kind,
  options: {
    readonly workers?: number | undefined
    readonly behaviour?: Behaviour | undefined
    readonly readyMillis?: number | undefined
    readonly drainMillis?: number | undefined
    /** What the options `onReplaced` and `onClosed` do when they have told it. */
    readonly hooks?: "die" | undefined
  } = {}
): Effect.Effect<Supervisor, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const directory = yield* folder()
    const files = {
      BEHAVIOUR_FILE: Path.join(directory, "behaviour"),
      LOADED: Path.join(directory, "loaded"),
      ...kind === "unix" ? { UNIX_PATH: Path.join(directory, "socket") } : {},
      ...kind === "https" || kind === "http2" || kind === "tls" ? identity(directory) : {}
    }
    // whole at any moment: a worker may be started in this one
    const behave = (behaviour: Behaviour) =>
      Effect.sync(() => {
        Fs.writeFileSync(`${files.BEHAVIOUR_FILE}~`, behaviour)
        Fs.renameSync(`${files.BEHAVIOUR_FILE}~`, files.BEHAVIOUR_FILE)
      })
    yield* behave(options.behaviour ?? "serve")
    const started = yield* Process.start(program, {
      env: {
        KIND: kind,
        WORKERS: String(options.workers ?? 2),
        READY_MS: String(options.readyMillis ?? 180_000),
        DRAIN_MS: String(options.drainMillis ?? 10_000),
        HOOKS: options.hooks ?? "",
        ...files
      }
    })
    const open = yield* started.event("open")
    const admin = `http://127.0.0.1:${Number(open["admin"])}`
    const get = (path: string) => Effect.promise(() => fetch(`${admin}${path}`))
    const text = (path: string) => Effect.flatMap(get(path), (response) => Effect.promise(() => response.text()))
    // what the inspector answers is of this type, which its own tests decode
    const inspection = Effect.map(text("/listeners"), (json) => JSON.parse(json) as Inspection)
    let replacements = 0
    return {
      program: started,
      target: files.UNIX_PATH === undefined
        ? { port: Number(open["port"]), host: "127.0.0.1" }
        : { path: files.UNIX_PATH },
      inspection,
      metrics: text("/metrics"),
      status: (path) => Effect.map(get(path), ({ status }) => status),
      pids: Effect.map(inspection, ({ workers }) => workers?.workers.map(({ pid }) => pid) ?? []),
      line: (accept) =>
        Effect.orDie(started.stdout((text) => {
          const line: Line & { readonly event: string } = JSON.parse(text)
          return line.event === "worker" && accept(line) ? line : undefined
        })),
      replace: (signal = "SIGUSR2") =>
        Effect.gen(function*() {
          const number = ++replacements
          yield* started.signal(signal)
          let seen = 0
          return yield* Effect.orDie(started.stdout((text) => {
            const line: { readonly event: string; readonly report: ReplaceReport } = JSON.parse(text)
            return line.event === "replaced" && ++seen === number ? line.report : undefined
          }))
        }),
      behave,
      loaded: Effect.sync(() => Fs.writeFileSync(files.LOADED, "")),
      end: (code = 0) =>
        Effect.gen(function*() {
          yield* started.signal("SIGTERM")
          const exit = yield* started.exit
          assert.strictEqual(exit.code, code, exit.stderr.join("\n"))
          const { event, report } = JSON.parse(exit.stdout.at(-1) ?? "{}") as { event: string; report: WorkersReport }
          assert.strictEqual(event, "closed")
          return report
        })
    }
  })

const identity = (directory: string) => {
  const files = { KEY: Path.join(directory, "key.pem"), CERT: Path.join(directory, "cert.pem") }
  const pair = selfSigned()
  Fs.writeFileSync(files.KEY, pair.key)
  Fs.writeFileSync(files.CERT, pair.cert)
  return files
}

/** Whether a process is there; one that has ended and was not waited for is not. */
export const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+[ZX]/m.test(Fs.readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

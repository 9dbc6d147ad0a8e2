/** `examples/http-server.ts`, or another HTTP example, as a process, and what its tests ask of it. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { selfSigned } from "../../../packages/node/test/support/certificates.ts"
import * as Process from "../../../packages/node/test/support/process.ts"

/** Key and certificate as files, in a directory that goes with the scope. */
export const tlsFiles: Effect.Effect<{ TLS_KEY: string; TLS_CERT: string }, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "http-example-"))),
    (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true }))
  ),
  (directory) => {
    const files = { TLS_KEY: Path.join(directory, "key.pem"), TLS_CERT: Path.join(directory, "cert.pem") }
    const pair = selfSigned()
    Fs.writeFileSync(files.TLS_KEY, pair.key)
    Fs.writeFileSync(files.TLS_CERT, pair.cert)
    return files
  }
)

// what the shell of the tests has set is not theirs
const clean = {
  PORT: "",
  HOST: "",
  DRAIN_DEADLINE_MS: "10000",
  IDLE_GRACE_MS: "",
  LINGER_MS: "",
  LAME_DUCK_MS: "",
  MAX_CONNECTIONS: "",
  TLS_KEY: "",
  TLS_CERT: ""
}

export const launch = (
  env: Record<string, string> = {},
  file = "http-server.ts"
): Effect.Effect<Process.Program, never, Scope.Scope> =>
  Process.start(new URL(`../../${file}`, import.meta.url), { env: { ...clean, ...env } })

export interface Example extends Omit<Process.Program, "port"> {
  readonly port: number
  readonly sigterm: Effect.Effect<void>
  /** Milliseconds since the last SIGTERM. */
  readonly sinceSigterm: () => number
  /** Waits for the end; asserts the exit code, and answers the report it printed and its stderr. */
  readonly exits: (code: number) => Effect.Effect<{ readonly report: Report; readonly stderr: string }>
}

interface Report {
  readonly outcome: string
  readonly duration: number
  readonly refused: number
  readonly swept: number
  readonly connections: Record<string, number>
  readonly cut: ReadonlyArray<{ readonly phase: string; readonly exchanges: ReadonlyArray<{ readonly label: string }> }>
  readonly handlersLeftBehind: ReadonlyArray<unknown>
}

/** Starts it, and waits until it listens. */
export const start = (
  env?: Record<string, string>,
  file?: "http-server.ts" | "application.ts"
): Effect.Effect<Example, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const program = yield* launch(env, file)
    const port = yield* program.port
    let signalledAt = NaN
    return {
      ...program,
      port,
      sigterm: Effect.suspend(() => {
        signalledAt = performance.now()
        return program.signal("SIGTERM")
      }),
      sinceSigterm: () => performance.now() - signalledAt,
      exits: (code) =>
        Effect.map(program.exit, (exit) => {
          const stderr = exit.stderr.join("\n")
          assert.strictEqual(exit.code, code, stderr)
          const last = exit.stdout.at(-1) ?? "{}"
          // what the example promises to print last
          const { event, report } = JSON.parse(last) as { event: string; report: Report }
          assert.strictEqual(event, "closed", last)
          return { report, stderr }
        })
    }
  })

/** Runs beside the test, to its end, in a fiber that has already started. */
export const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkScoped(effect, { startImmediately: true })

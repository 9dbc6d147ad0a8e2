/** `examples/service.ts` as a process, and what its admin port says. */
import * as ListenerInspector from "@effect-listener/node/ListenerInspector"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Process from "../../../packages/node/test/support/process.ts"

// what the shell of the tests has set is not theirs
const clean = {
  PORT: "",
  TCP_PORT: "",
  ADMIN_PORT: "",
  HOST: "",
  DRAIN_DEADLINE_MS: "10000",
  LAME_DUCK_MS: "",
  MAX_CONNECTIONS: "",
  TLS_KEY: "",
  TLS_CERT: ""
}

export const launch = (env: Record<string, string> = {}): Effect.Effect<Process.Program, never, Scope.Scope> =>
  Process.start(new URL("../../service.ts", import.meta.url), { env: { ...clean, ...env } })

export interface Service extends Process.Program {
  readonly http: number
  readonly tcp: number
  readonly admin: number
  readonly sigterm: Effect.Effect<void>
  /** Milliseconds since SIGTERM. */
  readonly sinceSigterm: () => number
  /** What the admin port answers. */
  readonly get: (path: string) => Effect.Effect<{ readonly status: number; readonly body: string }>
  /** What `/listeners` says. */
  readonly listeners: Effect.Effect<ListenerInspector.Inspection>
}

const Ports = Schema.Struct({ http: Schema.Int, tcp: Schema.Int, admin: Schema.Int })

/** Starts it, and waits until it listens. */
export const start = (env?: Record<string, string>): Effect.Effect<Service, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const program = yield* launch(env)
    const open = yield* program.event("open")
    const ports = Schema.decodeUnknownSync(Ports)(open["ports"])
    assert.deepInclude(open, { address: `127.0.0.1:${ports.http}`, port: ports.http })
    const get = (path: string) =>
      Effect.promise(async () => {
        const response = await fetch(`http://127.0.0.1:${ports.admin}${path}`)
        return { status: response.status, body: await response.text() }
      })
    let signalledAt = NaN
    return {
      ...program,
      ...ports,
      get,
      listeners: Effect.map(
        get("/listeners"),
        ({ body }) => Schema.decodeUnknownSync(ListenerInspector.Inspection)(JSON.parse(body))
      ),
      sigterm: Effect.suspend(() => {
        signalledAt = performance.now()
        return program.signal("SIGTERM")
      }),
      sinceSigterm: () => performance.now() - signalledAt
    }
  })

/**
 * The environment the examples read. A bad value ends them with exit code 1 and
 * the variable named on stderr.
 */
import type * as Listener from "@effect-listener/core/Listener"
import * as Config from "effect/Config"
import * as Schema from "effect/Schema"

const Milliseconds = Schema.Int.check(
  Schema.isGreaterThanOrEqualTo(0, { expected: "a whole number of milliseconds" })
)

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1, { expected: "a whole number of at least 1" }))

/** A port by the name of its variable; 0, the default, is any free one. */
export const port = (name: string): Config.Config<number> =>
  Config.schema(Schema.Port, name).pipe(Config.withDefault(0))

/** A whole number of at least 1, by the name of its variable. */
export const count = (name: string, standard: number): Config.Config<number> =>
  Config.schema(Count, name).pipe(Config.withDefault(standard))

/** `PORT` and `HOST` (127.0.0.1). */
export const endpoint: Config.Config<{ readonly port: number; readonly host: string }> = Config.all({
  port: port("PORT"),
  host: Config.NonEmptyString("HOST").pipe(Config.withDefault("127.0.0.1"))
})

/** `DRAIN_DEADLINE_MS` (20000), `IDLE_GRACE_MS` (250), `LAME_DUCK_MS` (0) and `LINGER_MS` (500). */
export const drain: Config.Config<{
  readonly deadline: number
  readonly idleGrace: number
  readonly lameDuck: number
  readonly linger: { readonly idle: number }
}> = Config.all({
  deadline: Config.schema(Milliseconds, "DRAIN_DEADLINE_MS").pipe(Config.withDefault(20_000)),
  idleGrace: Config.schema(Milliseconds, "IDLE_GRACE_MS").pipe(Config.withDefault(250)),
  lameDuck: Config.schema(Milliseconds, "LAME_DUCK_MS").pipe(Config.withDefault(0)),
  linger: Config.all({ idle: Config.schema(Milliseconds, "LINGER_MS").pipe(Config.withDefault(500)) })
})

/** The same and `MAX_CONNECTIONS` (no limit), as a listener's options. */
export const listenerOptions: Config.Config<Listener.ListenerOptions> = Config.all({
  drain,
  admission: Config.all({
    maxConnections: Config.schema(Count, "MAX_CONNECTIONS").pipe(Config.withDefault(undefined))
  })
})

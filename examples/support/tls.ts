/**
 * `TLS_KEY` and `TLS_CERT`: the files of a private key and its certificate.
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Fs from "node:fs"

const bad = (message: string): Config.ConfigError => new Config.ConfigError(new ConfigProvider.SourceError({ message }))

const file = (name: string): Config.Config<Option.Option<string>> =>
  Config.option(Config.NonEmptyString(name)).pipe(
    Config.mapEffect((path) =>
      Effect.try({
        try: () => Option.map(path, (path) => Fs.readFileSync(path, "utf8")),
        catch: (cause) => bad(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`)
      })
    )
  )

/** Key and certificate in PEM; nothing where neither is given, and one is not enough. */
export const tls: Config.Config<{ readonly key: string; readonly cert: string } | undefined> = Config.all({
  key: file("TLS_KEY"),
  cert: file("TLS_CERT")
}).pipe(Config.mapEffect(({ cert, key }) => {
  if (Option.isNone(key) && Option.isNone(cert)) return Effect.succeed(undefined)
  if (Option.isNone(key)) return Effect.fail(bad("TLS_KEY is missing beside TLS_CERT"))
  if (Option.isNone(cert)) return Effect.fail(bad("TLS_CERT is missing beside TLS_KEY"))
  return Effect.succeed({ key: key.value, cert: cert.value })
}))

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { InvalidArgument, type OpenError } from "../../ListenerError.ts"
import type { HostOptions } from "../../ListenerHost.ts"
import { CurrentRegistry } from "../../ListenerRegistry.ts"
import { defaults, resolve } from "../options/drain.ts"
import { resolveName, shownName } from "../options/name.ts"
import { type BadOption, millis } from "../options/time.ts"
import { HostImpl, quoted, type ResolvedHost } from "./host.ts"
import type { HostedListener } from "./hostClose.ts"

/** Makes a host without listeners that belongs to the scope it is made in. */
export const makeEmpty = (
  options: HostOptions,
  released: boolean
): Effect.Effect<HostImpl, InvalidArgument, Scope.Scope> =>
  Effect.uninterruptible(Effect.gen(function*() {
    const host = yield* construct(options, released)
    const registry = yield* CurrentRegistry
    host.adopt([], [], registry)
    yield* Effect.addFinalizer(() => host.finish)
    return host
  }))

/** Makes a host of these listeners, and opens them all. */
export const make = (
  main: ReadonlyArray<HostedListener>,
  options: HostOptions & { readonly admin?: ReadonlyArray<HostedListener> | undefined }
): Effect.Effect<HostImpl, OpenError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const host = yield* construct(options, false)
      const registry = yield* CurrentRegistry
      const admin = options.admin ?? []
      const all = [...main, ...admin]
      const names = all.map((listener) => listener.name)
      const twice = names.find((name, index) => names.indexOf(name) !== index)
      if (twice !== undefined) {
        return yield* invalid(host.name, { parameter: "listeners", detail: `has "${twice}" twice: ${quoted(names)}` })
      }
      yield* restore(host.openAll(all))
      host.adopt(main, admin, registry)
      yield* Effect.addFinalizer(() => host.finish)
      return host
    })
  )

const construct = (options: HostOptions, released: boolean): Effect.Effect<HostImpl, InvalidArgument> =>
  Effect.gen(function*() {
    const context = Context.omit(Scope.Scope)(yield* Effect.context<never>())
    const clock = yield* Clock.Clock
    const resolved = resolveHost(options)
    return Result.isFailure(resolved)
      ? yield* invalid(shownName(options.name ?? "host"), resolved.failure)
      : new HostImpl(resolved.success, options, context, clock, released)
  })

export const invalid = (host: string, bad: BadOption) =>
  new InvalidArgument({ operation: "open", listener: host, trail: [], ...bad })

const resolveHost = (options: HostOptions): Result.Result<ResolvedHost, BadOption> =>
  Result.gen(function*() {
    const drain = yield* resolve(options.drain, defaults)
    const reserve = options.reserve === undefined ? 0 : yield* millis("reserve", options.reserve)
    if (reserve > drain.deadline) {
      return yield* Result.fail({
        parameter: "reserve",
        detail: `is more than the deadline (${reserve} ms > ${drain.deadline} ms)`
      })
    }
    const name = options.name === undefined ? "host" : yield* resolveName(options.name)
    return { name, drain, reserve }
  })

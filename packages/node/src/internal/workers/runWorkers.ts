/** A supervisor as the main program of its process. */
import type { InvalidArgument } from "@effect-listener/core/ListenerError"
import { CurrentRegistry } from "@effect-listener/core/ListenerRegistry"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServer } from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import type * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as ListenerInspector from "../../ListenerInspector.ts"
import * as NodeHttp from "../../NodeHttp.ts"
import * as NodeMain from "../../NodeMain.ts"
import type { make, NodeWorkers, RunOptions } from "../../NodeWorkers.ts"

/** Those of `NodeMain` without the one that replaces here. */
const closeSignals: ReadonlyArray<NodeJS.Signals> = ["SIGTERM", "SIGINT", "SIGQUIT"]

const replaceSignals: ReadonlyArray<NodeJS.Signals> = ["SIGUSR2", "SIGHUP"]

export const runWorkers = <E>(
  options: RunOptions | Effect.Effect<RunOptions, E>,
  main: NodeMain.RunMainOptions | undefined,
  start: typeof make
): void => {
  const program = Effect.gen(function*() {
    const replaceAtSignals = yield* hearReplaceSignals
    const resolved = Effect.isEffect(options) ? yield* options : options
    const workers = yield* start(resolved)
    const { admin, onClosed, onOpen, onReplaced } = resolved
    if (onClosed !== undefined) {
      // detached: the program is interrupted as soon as the workers are closed
      yield* Effect.forkDetach(
        Effect.flatMap(workers.closed, (report) => ofOption("onClosed", () => onClosed(report))),
        { startImmediately: true }
      )
    }
    const addresses = admin === undefined
      ? workers.addresses
      : { ...workers.addresses, admin: yield* serveAdmin(workers, admin) }
    if (onOpen !== undefined) yield* onOpen({ workers, addresses })
    return yield* replaceAtSignals(workers, onReplaced)
  })
  NodeMain.runMain(
    Effect.provideService(Effect.scoped(program), References.LogToStderr, true),
    { ...main, signals: main?.signals ?? closeSignals }
  )
}

/**
 * The signals that replace are heard from here on, so that none ends a
 * supervisor that is still opening; the result replaces at each of them, for ever.
 */
const hearReplaceSignals: Effect.Effect<
  (workers: NodeWorkers, onReplaced: RunOptions["onReplaced"]) => Effect.Effect<never>,
  never,
  Scope.Scope
> = Effect.gen(function*() {
  let onSignal = (): void => {}
  const listener = (): void => onSignal()
  yield* Effect.acquireRelease(
    Effect.sync(() => replaceSignals.forEach((signal) => process.on(signal, listener))),
    () => Effect.sync(() => replaceSignals.forEach((signal) => process.removeListener(signal, listener)))
  )
  return (workers, onReplaced = () => Effect.void) =>
    Effect.gen(function*() {
      const replace = workers.replace.pipe(
        Effect.asSome,
        Effect.catchTag("WorkerFailed", (error) =>
          // without a report nothing was begun: the workers close, and their report says so
          Effect.as(Effect.logError(error.message), Option.fromNullishOr(error.report))),
        Effect.flatMap(Option.match({
          onNone: () => Effect.void,
          onSome: (report) => ofOption("onReplaced", () => onReplaced(report))
        }))
      )
      const run = Effect.runForkWith(yield* Effect.context<never>())
      let running = false
      onSignal = () => {
        // a replacement that runs is joined, and told of once
        if (running) return
        running = true
        run(replace).addObserver(() => {
          running = false
        })
      }
      return yield* Effect.never
    })
})

/** It is the user's, and nothing waits for what it ends with. */
const ofOption = (name: string, effect: () => Effect.Effect<void>): Effect.Effect<void> =>
  Effect.catchCause(Effect.suspend(effect), (cause) => Effect.logError(`the option ${name} failed`, cause))

/** Outside the registry of the program: it answers until the workers have ended, and closes with the scope. */
const serveAdmin = (
  workers: NodeWorkers,
  address: NonNullable<RunOptions["admin"]>
): Effect.Effect<NetAddress.SocketAddress, InvalidArgument | ServeError, Scope.Scope> =>
  Layer.build(
    HttpRouter.serve(ListenerInspector.routes(workers), { disableListenLog: true, disableLogger: true }).pipe(
      Layer.provideMerge(NodeHttp.layer({ name: "admin", ...address }))
    )
  ).pipe(
    Effect.map((services) => Context.get(services, HttpServer).address),
    Effect.provideService(CurrentRegistry, Option.none())
  )

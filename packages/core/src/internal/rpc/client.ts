/**
 * An RPC client of several servers that are as good as each other. It has one
 * connection for new calls; when that one's server leaves, it connects to the
 * next, and the old connection stays until its calls are answered. A call that
 * its server did not execute is made again, on the next.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { ConnectionHooks, Protocol } from "effect/rpc/RpcClient"
import { RpcClientDefect, RpcClientError } from "effect/rpc/RpcClientError"
import { constPing, type FromServerEncoded, type RequestEncoded } from "effect/rpc/RpcMessage"
import { RpcSerialization } from "effect/rpc/RpcSerialization"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { InvalidArgument } from "../../ListenerError.ts"
import { millis } from "../options/time.ts"
import { Signal } from "../util/condition.ts"
import { monotonicMillis } from "../util/timers.ts"
import { Link } from "./clientConnection.ts"
import { makeDrainMessages } from "./goodbye.ts"

/** See `RpcListener.ClientOptions`. */
export interface Options<R> {
  readonly servers: NonEmptyReadonlyArray<Effect.Effect<Socket.Socket, Socket.SocketError, R>>
  readonly pingInterval?: Duration.Input | undefined
  readonly pingTimeout?: Duration.Input | undefined
  readonly retryTransientErrors?: boolean | undefined
  readonly retryPolicy?: Schedule.Schedule<unknown, RpcClientError> | undefined
}

/** When a server is asked, and for how long it may say nothing; milliseconds, `Infinity` for never and for ever. */
interface Pings {
  readonly interval: number
  readonly timeout: number
}

/** As Effect's own client. */
const defaultPingInterval = "5 seconds"

/** As Effect's own client. */
const defaultRetryPolicy = Schedule.min([Schedule.exponential(500, 1.5), Schedule.spaced(5000)])

/** A connection that its server gives up within this time has not helped, in milliseconds. */
const leastUsefulTime = 1000

const clientClosed = new RpcClientError({
  reason: new RpcClientDefect({ message: "The client has been closed", cause: undefined })
})

const pingTimedOut = new RpcClientError({
  reason: new Socket.SocketReadError({ cause: new Error("ping timeout") })
})

/** The connections of one client. */
class Links {
  readonly signal = new Signal()
  readonly all = new Set<Link>()
  /** Where new calls go. */
  current: Link | undefined
  /** Why there is no connection, when none could be had. */
  error: RpcClientError | undefined

  get usable(): Link | undefined {
    return this.current?.usable === true ? this.current : undefined
  }

  /** Waits for a connection, or until it is known that there will be none. */
  get next(): Effect.Effect<Link, RpcClientError> {
    return Effect.suspend(() => {
      const { error, usable } = this
      if (usable !== undefined) return Effect.succeed(usable)
      if (error !== undefined) return Effect.fail(error)
      const known = this.signal.until(() => this.usable !== undefined || this.error !== undefined)
      return Effect.andThen(known, Effect.suspend(() => this.next))
    })
  }

  fail(error: RpcClientError): void {
    this.error = error
    this.signal.notify()
  }

  /** A connection that was superseded goes when its last call is answered. */
  done(link: Link): Effect.Effect<void> {
    return this.signal.until(() => link.spent && (this.current !== link || !link.usable))
  }
}

type Server = Effect.Effect<Socket.Socket, Socket.SocketError>

export const makeClientProtocol = <R>(
  options: Options<R>
): Effect.Effect<Protocol["Service"], InvalidArgument, RpcSerialization | Scope.Scope | R> =>
  Effect.contextWith((context: Context.Context<R>) => {
    // the compiler does not see that nothing is left of R without R
    const [first, ...others] = options.servers.map((server) => Effect.provideContext(server, context) as Server)
    return Effect.flatMap(
      Effect.fromResult(resolvePings(options)),
      (pings) => make([first!, ...others], pings, options)
    )
  })

const resolvePings = (options: Omit<Options<never>, "servers">): Result.Result<Pings, InvalidArgument> =>
  Result.gen(function*() {
    const time = (parameter: string, input: Duration.Input) =>
      millis(parameter, input, { infinite: true, positive: true })
    const { pingInterval = defaultPingInterval, pingTimeout } = options
    const interval = yield* time("pingInterval", pingInterval)
    return { interval, timeout: pingTimeout === undefined ? interval : yield* time("pingTimeout", pingTimeout) }
  }).pipe(
    Result.mapError((bad) =>
      new InvalidArgument({ operation: "makeClientProtocol", listener: "rpc client", trail: [], ...bad })
    )
  )

const make = (
  servers: NonEmptyReadonlyArray<Server>,
  pings: Pings,
  options: Omit<Options<never>, "servers">
): Effect.Effect<Protocol["Service"], never, RpcSerialization | Scope.Scope> =>
  Protocol.make(Effect.fnUntraced(function*(deliver, clientIds) {
    const serialization = yield* RpcSerialization
    const hooks = yield* Effect.serviceOption(ConnectionHooks)
    const clock = yield* Clock.Clock
    const scope = yield* Effect.scope
    const retryPolicy: Schedule.Schedule<unknown, RpcClientError> = options.retryPolicy ?? defaultRetryPolicy
    const links = new Links()
    const now = (): number => monotonicMillis(clock)

    const context = {
      drainMessages: makeDrainMessages(serialization.codecFor),
      deliver,
      broadcast: (response: FromServerEncoded) =>
        Effect.forEach(Array.from(clientIds), (clientId) => deliver(clientId, response), { discard: true }),
      changed: () => links.signal.notify()
    }

    /** Reads until the connection fails, is no longer needed, or its server has fallen silent. */
    const converse = (link: Link, pull: Socket.Reader["pull"]) =>
      Effect.suspend(() => {
        let seen = now()
        let asked = false
        const reading = Effect.forever(Effect.flatMap(pull, (frames) => {
          seen = now()
          asked = false
          return Effect.forEach(frames, (frame) => link.receive(frame), { discard: true })
        }))
        const pinging: Effect.Effect<void, RpcClientError, Scope.Scope> = Effect.forever(Effect.andThen(
          Effect.sleep(pings.interval),
          Effect.suspend(() => {
            if (asked && now() - seen > pings.timeout) return Effect.fail(pingTimedOut)
            asked = true
            // a server that does not read must not keep its own silence from being noticed
            return Effect.forkScoped(link.write(constPing))
          })
        ))
        return Effect.raceFirst(Effect.raceFirst(reading, pinging), links.done(link))
      })

    const connection = (server: Server, opened: Deferred.Deferred<Link, RpcClientError>) =>
      Effect.gen(function*() {
        const socket = yield* server
        const writer = yield* socket.writer
        const { pull } = yield* socket.reader
        const link = new Link(context, serialization.makeUnsafe(), writer)
        links.all.add(link)
        if (Option.isSome(hooks)) yield* hooks.value.onConnect
        yield* Deferred.succeed(opened, link)
        yield* Effect.onExit(converse(link, pull), (exit) => {
          links.all.delete(link)
          link.end(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? clientClosed : errorOf(exit.cause))
          return Option.isSome(hooks) ? hooks.value.onDisconnect : Effect.void
        })
      }).pipe(
        Effect.scoped,
        Effect.catchCause((cause) => Effect.asVoid(Deferred.fail(opened, errorOf(cause))))
      )

    const dial = Effect.fnUntraced(function*(server: Server) {
      const opened = yield* Deferred.make<Link, RpcClientError>()
      yield* Effect.forkIn(connection(server, opened), scope)
      return yield* Deferred.await(opened)
    })

    let last = -1

    /** Each server once, beginning with the one after the last. */
    const dialAny = Effect.gen(function*() {
      let dialed: Result.Result<Link, RpcClientError> | undefined
      for (let i = 0; i < servers.length && (dialed === undefined || Result.isFailure(dialed)); i++) {
        last = (last + 1) % servers.length
        dialed = yield* Effect.result(dial(servers[last]!))
      }
      return yield* Effect.fromResult(dialed!)
    })

    /** Keeps one connection open whose server stays. */
    const connecting = Effect.gen(function*() {
      let uselessInRow = 0
      while (true) {
        yield* Effect.sleep(backOff(uselessInRow))
        const link = yield* dialAny.pipe(
          Effect.tapError((error) =>
            Effect.sync(() => {
              if (options.retryTransientErrors !== true) links.fail(error)
            })
          ),
          Effect.retry({ schedule: retryPolicy })
        )
        const since = now()
        links.current = link
        links.error = undefined
        links.signal.notify()
        yield* links.signal.until(() => link.status !== "open")
        uselessInRow = now() - since < leastUsefulTime ? uselessInRow + 1 : 0
      }
    })

    yield* connecting.pipe(
      Effect.catch((error) => Effect.sync(() => links.fail(error))),
      Effect.forkIn(scope)
    )

    const execute = (clientId: number, request: RequestEncoded): Effect.Effect<void, RpcClientError> =>
      Effect.flatMap(links.next, (link) =>
        Effect.flatMap(
          link.execute(clientId, request),
          (outcome) => outcome === "answered" ? Effect.void : execute(clientId, request)
        ))

    return {
      send: (clientId, message) => {
        switch (message._tag) {
          case "Request":
            return execute(clientId, message)
          case "Ack":
          case "Interrupt":
            return Effect.forEach(links.all, (link) => link.forward(message), { discard: true })
          default:
            return Effect.void
        }
      },
      supportsAck: true,
      supportsTransferables: false,
      codecFor: serialization.codecFor
    }
  }))

/** How long to wait, in milliseconds, by how many connections in a row did not help. */
const backOff = (uselessInRow: number): number => uselessInRow === 0 ? 0 : Math.min(100 * 2 ** (uselessInRow - 1), 5000)

const errorOf = (cause: Cause.Cause<Socket.SocketError | RpcClientError>): RpcClientError => {
  const found = Cause.findError(cause)
  if (Result.isFailure(found)) {
    return new RpcClientError({
      reason: new RpcClientDefect({ message: "The connection failed", cause: Cause.squash(cause) })
    })
  }
  return Socket.isSocketError(found.success) ? new RpcClientError({ reason: found.success.reason }) : found.success
}

/**
 * Everything that can go wrong with a listener, as flat tagged errors.
 *
 * Each operation fails with exactly the errors it can give: `OpenError`,
 * `ListenError`, `AcceptError`, `CloseError`. All are schema classes, so they
 * cross RPC and encode to JSON. Each carries the `listener`, the `operation`
 * and a `trail` of context lines, newest first, which `withTrail` extends while
 * the error travels up. `classOf` says where it comes from, `Hresult.of` gives
 * the Windows Web Services code, `format` prints it all for an operator. A
 * message has two sentences: what happened, and what to do, which ends with the
 * name of a page of the documentation.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Schema from "effect/Schema"
import { DrainReport, oneLine } from "./DrainReport.ts"
import { withPage } from "./internal/util/errorPage.ts"
import { errorText } from "./internal/util/errorText.ts"
import { ListenerState } from "./ListenerState.ts"

const common = {
  operation: Schema.String,
  listener: Schema.String,
  trail: Schema.Array(Schema.String)
}

/**
 * The operation is not allowed in the listener's current state: a misuse.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class InvalidOperation extends Schema.TaggedError<InvalidOperation>(
  "@effect-listener/core/ListenerError/InvalidOperation"
)("InvalidOperation", { ...common, state: ListenerState }) {
  override get message(): string {
    return sentences(this, ` is not allowed in state ${this.state}`)
  }
}

/** Two sentences, the second of which ends with the name of a page of the documentation. */
const sentences = (
  error: { readonly _tag: ListenerError["_tag"]; readonly operation: string; readonly listener: string },
  what: string
): string => withPage(error._tag, oneLine(`${error.operation} on listener "${error.listener}"${what}`))

/**
 * An option or argument is out of range: a misuse. `parameter` names it.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class InvalidArgument extends Schema.TaggedError<InvalidArgument>(
  "@effect-listener/core/ListenerError/InvalidArgument"
)("InvalidArgument", { ...common, parameter: Schema.String, detail: Schema.String }) {
  override get message(): string {
    return sentences(this, `: ${this.parameter} ${this.detail}`)
  }
}

/**
 * The pending operation was ended by an abort, by an interruption, or, for an
 * accept, by the close. A close that was overtaken by an abort still ends
 * Closed and carries its report.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class OperationAborted extends Schema.TaggedError<OperationAborted>(
  "@effect-listener/core/ListenerError/OperationAborted"
)("OperationAborted", { ...common, report: Schema.optional(DrainReport) }) {
  override get message(): string {
    return sentences(this, " was aborted")
  }
}

/**
 * The operation's deadline (milliseconds) passed. A close that timed out still
 * ends Closed and carries the report that names what it cut.
 *
 * **Details**
 *
 * `deadline` may be `Infinity`: a close without a limit can be overtaken by the
 * shorter deadline of another closer or of the owner scope.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class OperationTimedOut extends Schema.TaggedError<OperationTimedOut>(
  "@effect-listener/core/ListenerError/OperationTimedOut"
)("OperationTimedOut", { ...common, deadline: Schema.Number, report: Schema.optional(DrainReport) }) {
  override get message(): string {
    const count = this.report?.cut.length
    const cut = count === undefined ? "" : `, ${count} connection${count === 1 ? "" : "s"} cut`
    return sentences(this, ` exceeded its deadline of ${this.deadline} ms${cut}`)
  }
}

/**
 * The address is taken by another socket.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class AddressInUse extends Schema.TaggedError<AddressInUse>(
  "@effect-listener/core/ListenerError/AddressInUse"
)("AddressInUse", { ...common, address: Schema.String }) {
  override get message(): string {
    return sentences(this, `: ${this.address} is in use`)
  }
}

/**
 * The address does not exist on this machine: a foreign IP, an unknown host
 * name, a missing directory.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class AddressNotAvailable extends Schema.TaggedError<AddressNotAvailable>(
  "@effect-listener/core/ListenerError/AddressNotAvailable"
)("AddressNotAvailable", { ...common, address: Schema.String }) {
  override get message(): string {
    return sentences(this, `: ${this.address} is not available on this machine`)
  }
}

/**
 * The process is not allowed to bind the address.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class AccessDenied extends Schema.TaggedError<AccessDenied>(
  "@effect-listener/core/ListenerError/AccessDenied"
)("AccessDenied", { ...common, address: Schema.String }) {
  override get message(): string {
    return sentences(this, `: permission denied for ${this.address}`)
  }
}

/**
 * A limit of the system was reached, such as open descriptors.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>(
  "@effect-listener/core/ListenerError/QuotaExceeded"
)("QuotaExceeded", { ...common, quota: Schema.String, limit: Schema.optional(Schema.Finite) }) {
  override get message(): string {
    return sentences(this, `: ${this.quota} exceeded${this.limit === undefined ? "" : ` (limit ${this.limit})`}`)
  }
}

/**
 * A certificate or key is missing, does not fit, or is expired.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class SecurityFailure extends Schema.TaggedError<SecurityFailure>(
  "@effect-listener/core/ListenerError/SecurityFailure"
)("SecurityFailure", { ...common, detail: Schema.String }) {
  override get message(): string {
    return sentences(this, `: ${this.detail}`)
  }
}

/**
 * The platform has no such feature.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class NotSupported extends Schema.TaggedError<NotSupported>(
  "@effect-listener/core/ListenerError/NotSupported"
)("NotSupported", { ...common, feature: Schema.String }) {
  override get message(): string {
    return sentences(this, `: ${this.feature} is not supported here`)
  }
}

/**
 * Any other failure of the transport, with the system's error code where there
 * is one.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class TransportFailure extends Schema.TaggedError<TransportFailure>(
  "@effect-listener/core/ListenerError/TransportFailure"
)("TransportFailure", { ...common, code: Schema.optional(Schema.String), cause: Schema.Defect() }) {
  override get message(): string {
    const code = this.code === undefined ? "" : ` ${this.code}`
    const cause = this.cause instanceof Error ? ` (${textOf(this.cause.message)})` : ""
    return sentences(this, `: transport failure${code}${cause}`)
  }
}

/** A cause is foreign: `String` throws for an object whose `toString` is no function. */
const textOf = (cause: unknown): string => typeof cause === "string" ? cause : Formatter.format(cause)

/**
 * The listener was aborted, or its listening socket died. Only `close` leads on.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class ListenerFaulted extends Schema.TaggedError<ListenerFaulted>(
  "@effect-listener/core/ListenerError/ListenerFaulted"
)("ListenerFaulted", { ...common, reason: Schema.Union([Schema.Literal("Aborted"), TransportFailure]) }) {
  override get message(): string {
    const reason = this.reason === "Aborted" ? "aborted" : this.reason.code ?? textOf(this.reason.cause)
    return sentences(this, `: the listener is faulted (${reason})`)
  }
}

/**
 * What `Listener.open` can fail with.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export type OpenError =
  | InvalidOperation
  | InvalidArgument
  | OperationAborted
  | OperationTimedOut
  | AddressInUse
  | AddressNotAvailable
  | AccessDenied
  | QuotaExceeded
  | SecurityFailure
  | NotSupported
  | TransportFailure

/**
 * What `Listener.listen` can fail with: an open that no other fiber can abort or
 * call out of turn.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export type ListenError = Exclude<OpenError, InvalidOperation | OperationAborted>

/**
 * What `Listener.accept` can fail with.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export type AcceptError = InvalidOperation | OperationAborted | ListenerFaulted

/**
 * What `Listener.close` can fail with.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export type CloseError = InvalidOperation | InvalidArgument | OperationAborted | OperationTimedOut

/**
 * Schema of every error of a listener, for RPC and JSON.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const ListenerError = Schema.Union([
  InvalidOperation,
  InvalidArgument,
  OperationAborted,
  OperationTimedOut,
  AddressInUse,
  AddressNotAvailable,
  AccessDenied,
  QuotaExceeded,
  SecurityFailure,
  NotSupported,
  TransportFailure,
  ListenerFaulted
])

/**
 * Any error of a listener. Operations never fail with this union: each has its
 * own.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export type ListenerError = typeof ListenerError.Type

/**
 * Whether a value is an error of a listener.
 *
 * @stability experimental
 * @category guards
 * @since 0.1.0
 */
export const isListenerError: (u: unknown) => u is ListenerError = Schema.is(ListenerError)

/**
 * Adds a line of context to the error's trail while it travels up. Errors that
 * are not a listener's pass unchanged.
 *
 * **Example** (Saying what was being done)
 *
 * ```ts
 * import { Listener, ListenerError } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const listener = yield* Listener.make(yield* MemoryTransport.make())
 *   yield* Effect.scoped(listener.accept)
 * }).pipe(
 *   ListenerError.withTrail("while serving the admin port"),
 *   Effect.catchTag("InvalidOperation", (error) => Effect.succeed(error.trail[0])),
 *   Effect.scoped
 * )
 *
 * console.log(Effect.runSync(program)) // => while serving the admin port
 * ```
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const withTrail = (line: string) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.mapError(self, (error) => isListenerError(error) ? prepend(error, line) : error)

const prepend = <E extends ListenerError>(error: E, line: string): E => {
  // TypeScript knows a constructor only as a Function; that of an E takes E's fields and gives an E
  const Class = error.constructor as new(fields: object) => E
  // a copy, because the same error may be held by another fiber. It is a new Error, not Object.create's, which
  // would have no stack; `cause` is not enumerable, and ignored where it is no field
  const copy = new Class(Object.assign({}, error, { cause: error.cause, trail: [line, ...error.trail] }))
  return Object.defineProperty(copy, "stack", { value: error.stack, configurable: true, writable: true })
}

/**
 * Where an error comes from: a `misuse` from the calling program, `lifetime` from
 * closing and aborting, `environment` from the machine or the configuration.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type ErrorClass = "misuse" | "lifetime" | "environment"

const classes: Record<ListenerError["_tag"], ErrorClass> = {
  InvalidOperation: "misuse",
  InvalidArgument: "misuse",
  OperationAborted: "lifetime",
  OperationTimedOut: "lifetime",
  ListenerFaulted: "lifetime",
  QuotaExceeded: "environment",
  AddressInUse: "environment",
  AddressNotAvailable: "environment",
  AccessDenied: "environment",
  SecurityFailure: "environment",
  NotSupported: "environment",
  TransportFailure: "environment"
}

/**
 * The class of an error.
 *
 * **Example** (Retrying only what may change by itself)
 *
 * ```ts
 * import { ListenerError } from "@effect-listener/core"
 *
 * const error = new ListenerError.AddressInUse({
 *   listener: "api",
 *   operation: "open",
 *   trail: [],
 *   address: "127.0.0.1:8080"
 * })
 *
 * console.log(ListenerError.classOf(error)) // => environment
 * ```
 *
 * @stability experimental
 * @category getters
 * @since 0.1.0
 */
export const classOf = (error: ListenerError): ErrorClass => classes[error._tag]

/**
 * An error for an operator, in several lines: what happened, its code, class
 * and meaning, the trail (newest first), and then what it carries: the report
 * of the close, the failure that faulted the listener, the system's own error.
 *
 * **Example** (Printing an error)
 *
 * ```ts
 * import { ListenerError } from "@effect-listener/core"
 *
 * console.log(ListenerError.format(
 *   new ListenerError.AddressInUse({
 *     listener: "admin",
 *     operation: "open",
 *     trail: ["while opening the admin port", "while starting the service"],
 *     address: "127.0.0.1:9000"
 *   })
 * ))
 * // => AddressInUse: open on listener "admin": 127.0.0.1:9000 is in use.
 * // =>   Stop the program that has it, or take another address: errors/AddressInUse
 * // =>   0x803D000B WS_E_ADDRESS_IN_USE (environment): the address is in use, or no address is left
 * // =>   while opening the admin port
 * // =>   while starting the service
 * ```
 *
 * @stability experimental
 * @category formatting
 * @since 0.1.0
 */
export const format = (error: ListenerError): string => errorText(error, classOf)

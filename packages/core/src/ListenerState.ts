/**
 * The lifetime of a listener as one pure, total function.
 *
 * `transition` is the whole state machine: six states, the five operations a
 * caller can ask for and the four events that happen by themselves. It answers
 * every one of the 54 combinations with the next state and the `Action` the
 * listener has to perform, or with the reason why an operation is refused. It
 * holds no state, does no I/O and knows no clock; `Listener` performs what it
 * decides.
 *
 * The table is the one of Windows Web Services (`WsOpenListener`,
 * `WsAcceptChannel`, `WsCloseListener`, `WsAbortListener`, `WsResetListener`).
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/**
 * Schema of the six states.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const ListenerState = Schema.Literals(["Created", "Opening", "Open", "Faulted", "Closing", "Closed"])

/**
 * The six states of a listener.
 *
 * **Details**
 *
 * - `Created`: made or reset; holds no socket.
 * - `Opening`: the transport is binding.
 * - `Open`: listening and accepting, a lame duck included.
 * - `Faulted`: aborted, or its listening socket died; only `close` leads on.
 * - `Closing`: stops accepting, then drains.
 * - `Closed`: nothing is left; `reset` leads back to `Created`.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type ListenerState = typeof ListenerState.Type

/**
 * The five operations a caller can ask for.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Operation = "open" | "accept" | "close" | "abort" | "reset"

/**
 * The four things that happen by themselves and are never refused: the bind
 * succeeded or failed, the drain ended, the listening socket died.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Happening = "opened" | "openFailed" | "drained" | "fault"

/**
 * Everything `transition` can be asked about.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Event = Operation | Happening

/**
 * What the listener has to do about a transition.
 *
 * **Details**
 *
 * - `None`: nothing.
 * - `Bind`: ask the transport for a listening socket.
 * - `Listen`: the bind succeeded: start accepting.
 * - `ReleaseBind`: the bind succeeded too late: give the socket back.
 * - `CancelOpen`: end the pending open with `OperationAborted` and release its bind.
 * - `FailOpen`: end the pending open with the fault.
 * - `Wait`: give the caller the next connection.
 * - `Drain`: stop accepting, then drain.
 * - `Finish`: nothing was ever open: publish an empty report.
 * - `LastReport`: answer with the report of the close before.
 * - `Cut`: fail pending accepts, destroy connections, interrupt handlers.
 * - `Escalate`: cut the drain that is running short.
 * - `StopAccepting`: the listening socket died: fail pending accepts, keep connections.
 * - `Publish`: the drain ended: publish its report.
 * - `Forget`: begin a new lifetime with the same options.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Action =
  | "None"
  | "Bind"
  | "Listen"
  | "ReleaseBind"
  | "CancelOpen"
  | "FailOpen"
  | "Wait"
  | "Drain"
  | "Finish"
  | "LastReport"
  | "Cut"
  | "Escalate"
  | "StopAccepting"
  | "Publish"
  | "Forget"

/**
 * A transition that is taken: the next state and what to do.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Step {
  readonly next: ListenerState
  readonly action: Action
}

/**
 * Why an operation is refused. The listener adds its name and the operation.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Refusal = "InvalidOperation" | "ListenerFaulted"

type Cell = Step | Refusal

const go = (next: ListenerState, action: Action = "None"): Step => ({ next, action })

const table: Record<ListenerState, Record<Event, Cell>> = {
  Created: {
    open: go("Opening", "Bind"),
    accept: "InvalidOperation",
    close: go("Closed", "Finish"),
    abort: go("Created"),
    reset: go("Created"),
    opened: go("Created", "ReleaseBind"),
    openFailed: go("Created"),
    drained: go("Created"),
    fault: go("Created")
  },
  Opening: {
    open: "InvalidOperation",
    accept: "InvalidOperation",
    close: "InvalidOperation",
    abort: go("Created", "CancelOpen"),
    reset: "InvalidOperation",
    opened: go("Open", "Listen"),
    openFailed: go("Created"),
    drained: go("Opening"),
    fault: go("Created", "FailOpen")
  },
  Open: {
    open: "InvalidOperation",
    accept: go("Open", "Wait"),
    close: go("Closing", "Drain"),
    abort: go("Faulted", "Cut"),
    reset: "InvalidOperation",
    opened: go("Open", "ReleaseBind"),
    openFailed: go("Open"),
    drained: go("Open"),
    fault: go("Faulted", "StopAccepting")
  },
  Faulted: {
    open: "InvalidOperation",
    accept: "ListenerFaulted",
    close: go("Closing", "Drain"),
    abort: go("Faulted"),
    reset: "InvalidOperation",
    opened: go("Faulted", "ReleaseBind"),
    openFailed: go("Faulted"),
    drained: go("Faulted"),
    fault: go("Faulted")
  },
  Closing: {
    open: "InvalidOperation",
    accept: "InvalidOperation",
    close: "InvalidOperation",
    abort: go("Closing", "Escalate"),
    reset: "InvalidOperation",
    opened: go("Closing", "ReleaseBind"),
    openFailed: go("Closing"),
    drained: go("Closed", "Publish"),
    fault: go("Closing")
  },
  Closed: {
    open: "InvalidOperation",
    accept: "InvalidOperation",
    close: go("Closed", "LastReport"),
    abort: go("Closed"),
    reset: go("Created", "Forget"),
    opened: go("Closed", "ReleaseBind"),
    openFailed: go("Closed"),
    drained: go("Closed"),
    fault: go("Closed")
  }
}

/**
 * Decides what an event means in a state.
 *
 * **Details**
 *
 * Operations can be refused; happenings never are. Two facts are the
 * listener's own and are looked at before it asks: an `accept` while the
 * accept queue is being swept is served by the queue, and once the owner scope
 * has closed, `open` and `reset` are `InvalidOperation`.
 *
 * **Example** (Closing an open listener)
 *
 * ```ts
 * import { ListenerState } from "@effect-listener/core"
 * import { Result } from "effect"
 *
 * const say = Result.match({
 *   onSuccess: (step: ListenerState.Step) => `${step.next}, ${step.action}`,
 *   onFailure: (refusal: ListenerState.Refusal) => refusal
 * })
 *
 * console.log(say(ListenerState.transition("Open", "close"))) // => Closing, Drain
 * console.log(say(ListenerState.transition("Closing", "close"))) // => InvalidOperation
 * ```
 *
 * @stability experimental
 * @category transitions
 * @since 0.1.0
 */
export const transition = (state: ListenerState, event: Event): Result.Result<Step, Refusal> => {
  const cell = table[state][event]
  return typeof cell === "string" ? Result.fail(cell) : Result.succeed(cell)
}

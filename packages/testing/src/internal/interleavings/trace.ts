/**
 * What happened in one run, for a person to read: every switch, and between
 * them what each fiber did and at which line of the program.
 */
import * as Fiber from "effect/Fiber"
import type { AnyFiber, Primitive } from "./primitives.ts"
import { sourceOf } from "./primitives.ts"
import type { Run } from "./run.ts"
import type { Choice } from "./schedule.ts"
import type { FiberState, PointKind, Recorder, Task } from "./types.ts"
import { excerpt, nameOf } from "./waitNames.ts"

/** What one fiber did at one line. */
interface Entry {
  readonly fiber: FiberState
  readonly place: string
  readonly operations: Array<{ readonly text: string; times: number }>
}

export class Trace implements Recorder {
  private readonly entries: Array<Entry | string> = []
  /** Where each fiber last went on. */
  private readonly places = new Map<AnyFiber, string>()
  /** Where each fiber was forked. */
  private readonly origins = new Map<AnyFiber, string>()
  private readonly originOfTask = new Map<Task, string>()
  /** The task whose turn has begun, until an operation is evaluated in it. */
  private turn: Task | undefined
  /** The task that took that turn. */
  private top: FiberState | undefined
  /** The fiber that evaluated the last operation, and which. */
  private current: FiberState | undefined
  private lastOperation = ""
  private millis = 0
  private readonly live = new Set<FiberState>()
  /** The prototypes of the primitives that were evaluated. */
  readonly prototypes = new Set<object>()

  /** Executes a run that records here, with the source line of every `yield*` of the given prototypes. */
  execute(run: Run, prototypes: Iterable<object>): Run {
    return withYieldSites(prototypes, (fiber, place) => this.places.set(fiber, place), () => run.execute())
  }

  started(fiber: FiberState): void {
    const origin = this.turn === undefined ? this.placeOf(this.forker()) : this.originOfTask.get(this.turn) ?? ""
    if (origin !== "") this.origins.set(fiber.fiber, origin.startsWith("[") ? origin : `[${origin}]`)
    this.live.add(fiber)
  }

  operation(fiber: FiberState, primitive: Primitive, operation: string): void {
    if (this.turn !== undefined || this.top === undefined) this.top = fiber
    this.turn = undefined
    this.noteEnds()
    this.current = fiber
    this.lastOperation = operation
    this.prototypes.add(Object.getPrototypeOf(primitive) as object)
    // while it is held back, the yield and its end are ours.
    if (fiber.held === undefined) this.note(fiber, describe(primitive, operation, this.places.has(fiber.fiber)))
  }

  enqueued(task: Task): void {
    this.originOfTask.set(task, this.placeOf(this.current))
  }

  dispatched(task: Task): void {
    this.noteEnds()
    this.turn = task
    if (task.origin === "event") this.mark("an outside event")
  }

  chosen({ at, take }: Choice, kind: PointKind, count: number): void {
    const text: Record<PointKind, string> = {
      next: `of ${count} that are ready, number ${take + 1} goes first`,
      preempt: "preempted: another goes on",
      resume: "held back inside the other's operation"
    }
    this.mark(`${text[kind]} (choice ${take === 1 ? at : `${at}:${take}`})`)
  }

  advanced(millis: number): void {
    if (millis !== this.millis) this.mark(`the clock is at ${millis} ms`)
    this.millis = millis
  }

  logged(message: string): void {
    this.mark(`log ${message}`)
  }

  /** The lines of the trace, those in the middle left out when there are too many. */
  lines(limit = 200): ReadonlyArray<string> {
    this.noteEnds()
    const left = Math.max(0, this.entries.length - limit)
    const head = Math.floor(limit / 4)
    const entries = left === 0 ? this.entries : [
      ...this.entries.slice(0, head),
      `${left} lines left out`,
      ...this.entries.slice(head + left)
    ]
    const width = Math.max(...entries.map((entry) => typeof entry === "string" ? 0 : entry.place.length))
    return entries.map((entry) => {
      if (typeof entry === "string") return `-------- ${entry}`
      const operations = entry.operations.map(({ text, times }) => times === 1 ? text : `${text} ×${times}`).join(" · ")
      return `${nameOfFiber(entry.fiber).padEnd(8)} ${entry.place.padEnd(width)}  ${excerpt(operations, 120)}`.trimEnd()
    })
  }

  /** Where each fiber waits. */
  whereabouts(fibers: ReadonlyArray<FiberState>): ReadonlyArray<string> {
    return fibers.map((state) => {
      const place = this.placeOf(state)
      const operation = state.waiting === undefined ? "" : ` in ${nameOf(state.waiting)}`
      return `${nameOfFiber(state).padEnd(8)} waits${operation} ${place}`.trimEnd()
    })
  }

  /** Adds to what the fiber does at its line; with an empty text only that it is there. */
  private note(fiber: FiberState, text: string): void {
    const place = this.placeOf(fiber)
    let entry = this.entries.at(-1)
    if (entry === undefined || typeof entry === "string" || entry.fiber !== fiber || entry.place !== place) {
      entry = { fiber, place, operations: [] }
      this.entries.push(entry)
    }
    if (text === "") return
    const last = entry.operations.at(-1)
    if (last?.text === text) last.times++
    else entry.operations.push({ text, times: 1 })
  }

  /** The fiber that has just forked one that starts immediately: it evaluated the last operation, unless it waits now. */
  private forker(): FiberState | undefined {
    const waits = this.lastOperation === "Yield" || this.lastOperation === "Async"
    return waits || this.current?.fiber.pollUnsafe() !== undefined ? this.top : this.current
  }

  /** A fiber that ends resumes those that wait for it before its observers are told: looked for before each step, it comes first. */
  private noteEnds(): void {
    for (const state of this.live) {
      const exit = state.fiber.pollUnsafe()
      if (exit === undefined) continue
      this.live.delete(state)
      this.note(state, exit._tag === "Success" ? "ends" : "fails")
    }
  }

  private mark(text: string): void {
    this.entries.push(text)
  }

  /** The line a fiber is at, else in brackets where it was forked, else the name of the span or function it is in. */
  private placeOf(state: FiberState | undefined): string {
    if (state === undefined) return ""
    return this.places.get(state.fiber) ?? this.origins.get(state.fiber) ?? state.fiber.cache.stackFrame?.name ?? ""
  }
}

const nameOfFiber = (fiber: FiberState): string => fiber.index === 0 ? "main" : `fiber ${fiber.index}`

/** What an operation does, or nothing where the line it is in says it all. */
const describe = (primitive: Primitive, operation: string, placeKnown: boolean): string => {
  switch (operation) {
    case "Sync":
      return excerpt(sourceOf(primitive) ?? "sync", 60)
    case "Async":
      return nameOf(primitive)
    case "Yield":
      return "yieldNow"
    case "Failure":
      return "fail"
    case "WithFiber":
    case "WithFiberSucceed":
    case "OnExit":
    case "While":
      return placeKnown ? "" : excerpt(sourceOf(primitive) ?? operation, 40)
    default:
      return ""
  }
}

// --- source lines ---------------------------------------------------------------------------------------------------

/**
 * Tells the line of each `yield*` of an effect while `body` runs.
 *
 * An effect does not know where it was made, but a generator asks it for its
 * iterator from the very line of the `yield*`. So for as long as `body` runs,
 * which is synchronous, the iterators of Effect's primitives look at the stack
 * first.
 */
const withYieldSites = <A>(
  prototypes: Iterable<object>,
  onYield: (fiber: AnyFiber, place: string) => void,
  body: () => A
): A => {
  const restore: Array<() => void> = []
  for (const prototype of prototypes) {
    const original = Object.getOwnPropertyDescriptor(prototype, Symbol.iterator)
    const iterator: unknown = original?.value
    if (original === undefined || typeof iterator !== "function") continue
    Object.defineProperty(prototype, Symbol.iterator, {
      ...original,
      value: function yieldSite(this: unknown) {
        const fiber = Fiber.getCurrent()
        const place = fiber === undefined ? undefined : callerOf(yieldSite)
        if (fiber !== undefined && place !== undefined) onYield(fiber, place)
        return iterator.call(this) as unknown
      }
    })
    restore.push(() => Object.defineProperty(prototype, Symbol.iterator, original))
  }
  try {
    return body()
  } finally {
    for (const undo of restore) undo()
  }
}

/** `file:line:column` of the caller of `callee`, unless that is inside Effect. */
const callerOf = (callee: (...args: Array<never>) => unknown): string | undefined => {
  const holder: { stack?: string } = {}
  // V8 only; elsewhere the trace has no source lines.
  Error.captureStackTrace?.(holder, callee)
  const frame = /^\s+at .*$/m.exec(holder.stack ?? "")?.[0]
  const location = frame === undefined ? undefined : /([^\s(]+:\d+:\d+)\)?$/.exec(frame)?.[1]
  if (location === undefined || /\/effect\/(src|dist)\//.test(location)) return undefined
  const path = location.replace(/^file:\/\//, "")
  const directory = globalThis.process?.cwd?.()
  return directory !== undefined && path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : path
}

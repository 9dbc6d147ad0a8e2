/**
 * One run of a program under full control.
 *
 * Effect asks two services what to do next: its `Scheduler` keeps the tasks
 * that are ready, and `Tracer.context` is called with every operation before it
 * is evaluated. A `Run` is both. It executes the whole program synchronously,
 * and wherever the runtime would be free to do one thing or another it asks its
 * `Strategy`. There are three kinds of such points:
 *
 * - `next`: nothing runs, and several tasks are ready, or nothing is ready and
 *   several timers are due. Which is first?
 * - `preempt`: a fiber is about to evaluate an operation. Does it go on, or
 *   another?
 * - `resume`: a fiber was resumed by an operation of another. Does it run
 *   inside that operation, as Effect does, or later?
 *
 * Alternative 0 is always what the stock runtime does. Points are counted, also
 * where only one alternative was left, so that a choice is named by its number
 * whatever the strategy and its bound.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import * as Tracer from "effect/Tracer"
import { generator } from "../util/random.ts"
import type { AnyFiber, Primitive } from "./primitives.ts"
import { evaluate, isInvisible, operationOf, yieldBefore } from "./primitives.ts"
import { ReadyTasks } from "./readyTasks.ts"
import type { Choice } from "./schedule.ts"
import type {
  Conclusion,
  FiberState,
  PointKind,
  Recorder,
  RunResult,
  RunView,
  Settings,
  Strategy,
  Task
} from "./types.ts"
import { VirtualClock } from "./virtualClock.ts"

/** The fiber that must not be preempted while it has this in its context; its children inherit it without effect. */
export const AtomicFiber: Context.Reference<AnyFiber | undefined> = Context.Reference<AnyFiber | undefined>(
  "@effect-listener/testing/Interleavings/AtomicFiber",
  { defaultValue: () => undefined }
)

export class Run implements RunView, RunResult {
  /** The choices made so far that were not the default. */
  readonly taken: Array<Choice> = []
  /** How many points there were. */
  points = 0
  /** How many operations were evaluated. */
  steps = 0
  /** A hash of which fiber evaluated what, in order: equal for equal runs. */
  print = 0
  /** Choices that held a fiber back which could have gone on. */
  preemptions = 0
  /** The bound took an alternative away. */
  cut = false
  /** What was found, once the run is over. */
  conclusion: Conclusion | undefined
  /** A fiber was resumed after the run was over: it waited for something real. */
  resumedFromOutside = false
  readonly fibers = new Map<AnyFiber, FiberState>()

  /** For strategies that rank: which task is about to go on, inside whose turn, and which are ready besides. */
  running: FiberState | undefined
  top: FiberState | undefined

  private readonly settings: Settings
  private readonly strategy: Strategy
  private readonly bound: number
  private readonly recorder: Recorder | undefined
  private readonly clock = new VirtualClock()
  private readonly tasks: ReadyTasks
  private actors = 0
  private over = false
  private executed = false
  /** The task whose turn has begun, until the first fiber in it takes it. */
  private dispatched: Task | undefined
  /** The task that a preemption chose to go on. */
  private preferred: Task | undefined
  /** The fiber that has just asked to let others go first. */
  private polite: FiberState | undefined
  /** The fiber that is evaluating a yield, so that its task can be told from others. */
  private yielding: FiberState | undefined
  private lastFiber: AnyFiber | undefined
  private lastState: FiberState | undefined

  constructor(settings: Settings, strategy: Strategy, bound: number, recorder?: Recorder) {
    this.settings = settings
    this.strategy = strategy
    this.bound = bound
    this.recorder = recorder
    this.tasks = new ReadyTasks(this.clock, () => this.actors++, (millis) => recorder?.advanced(millis))
  }

  get ready(): ReadonlyArray<Task> {
    return this.tasks.ready
  }

  /** Runs the program until nothing more can run. */
  execute(): this {
    const root = this.start()
    while (!this.over && !isFailed(root?.pollUnsafe()) && this.step()) {}
    if (!this.over) {
      this.stop(this.strategy.repeated?.() === false ? diverged : this.conclude(root?.pollUnsafe()))
    }
    this.executed = true
    return this
  }

  /** Fibers that have not ended. */
  get suspended(): ReadonlyArray<FiberState> {
    return Array.from(this.fibers.values()).filter((state) =>
      !state.uncontrolled && state.fiber.pollUnsafe() === undefined
    )
  }

  private start(): AnyFiber | undefined {
    this.dispatched = { run: () => {}, priority: 0, origin: "root", actor: this.actors++, fiber: undefined }
    try {
      this.settings.environment?.((event) => this.enqueue(event, 0, "event", undefined))
      return Effect.runForkWith(this.services())(this.settings.program)
    } catch (error) {
      this.stop({ kind: "Failure", reason: `the environment threw ${Cause.pretty(Cause.die(error))}` })
      return undefined
    } finally {
      this.dispatched = undefined
    }
  }

  private services(): Context.Context<never> {
    const { context, seed } = this.settings
    const random = generator(seed)
    const log = Logger.make(({ logLevel, message }) => this.recorder?.logged(`${logLevel}: ${String(message)}`))
    return context.pipe(
      Context.add(Scheduler.Scheduler, this.scheduler),
      Context.add(Tracer.Tracer, this.tracer),
      Context.add(Clock.Clock, this.clock),
      Context.add(Random.Random, {
        nextIntUnsafe: () => Math.floor(random() * Number.MAX_SAFE_INTEGER),
        nextDoubleUnsafe: random
      }),
      Context.add(References.CurrentLoggers, new Set([log]))
    )
  }

  private conclude(exit: Exit.Exit<unknown, unknown> | undefined): Conclusion | undefined {
    if (exit === undefined) {
      return { kind: "Deadlock", reason: "nothing can run any more and the program has not ended" }
    }
    if (exit._tag === "Failure") return { kind: "Failure", reason: Cause.pretty(exit.cause) }
    const leaked = this.suspended.length
    if (leaked > 0) {
      return {
        kind: "LeakedFiber",
        reason: `the program has ended and nothing can run any more, but ${leaked} ${
          leaked === 1 ? "fiber is" : "fibers are"
        } suspended`
      }
    }
    return undefined
  }

  private stop(conclusion: Conclusion | undefined): void {
    this.conclusion ??= conclusion
    this.over = true
  }

  // --- between the turns --------------------------------------------------------------------------------------------

  private readonly scheduler: Scheduler.Scheduler = {
    executionMode: "async",
    shouldYield: (fiber) => {
      if (fiber.cache.tracerContext === this.hook) return false
      this.stop({ kind: "Failure", reason: "the program replaced the Tracer, which hides its operations" })
      return true
    },
    makeDispatcher: () => this.dispatcher
  }

  private readonly dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task, priority) => {
      const fiber = this.yielding
      this.yielding = undefined
      this.enqueue(task, priority, fiber === undefined ? "callback" : "fiber", fiber)
    },
    // tasks run when their turn comes, and never earlier.
    flush: () => {}
  }

  private enqueue(run: () => void, priority: number, origin: Task["origin"], fiber: FiberState | undefined): void {
    if (this.over) return
    const task: Task = { run, priority, origin, actor: fiber?.actor ?? this.actors++, fiber }
    if (fiber !== undefined) fiber.queued = task
    this.tasks.add(task)
    this.recorder?.enqueued(task)
  }

  /** Gives one task its turn. False when there is none. */
  private step(): boolean {
    const task = this.take()
    if (task === undefined) return false
    this.dispatched = task
    this.top = undefined
    this.recorder?.dispatched(task)
    try {
      task.run()
    } catch (error) {
      this.stop({ kind: "Failure", reason: `a callback threw ${Cause.pretty(Cause.die(error))}` })
    }
    this.dispatched = undefined
    return true
  }

  private take(): Task | undefined {
    const preferred = this.preferred
    const polite = this.polite?.queued
    this.preferred = undefined
    this.polite = undefined
    if (preferred !== undefined && this.tasks.remove(preferred)) return preferred

    const ready = this.tasks.find()
    const prompt = this.tasks.arrangeByUrgency(polite)
    let choice = 0
    if (ready.length > 1) {
      const at = this.points++
      if (prompt < ready.length && this.preemptions >= this.bound) {
        this.cut = true
        ready.length = prompt
      }
      if (ready.length > 1) choice = this.choose(at, "next", ready.length)
      if (choice >= prompt) this.preemptions++
    }
    const task = ready[choice]
    if (task === undefined || this.over) return undefined
    this.tasks.remove(task)
    return task
  }

  private choose(at: number, kind: PointKind, count: number): number {
    const take = this.strategy.choose(at, kind, count, this)
    if (take < 0) {
      this.stop(diverged)
      return 0
    }
    if (take > 0) {
      const choice = { at, take }
      this.taken.push(choice)
      this.recorder?.chosen(choice, kind, count)
    }
    return take
  }

  // --- within a turn ------------------------------------------------------------------------------------------------

  private readonly hook = <X>(primitive: Primitive<X>, fiber: AnyFiber): X => {
    const operation = operationOf(primitive)
    if (this.over) return this.park(primitive, fiber, operation)
    const state = fiber === this.lastFiber ? this.lastState! : this.stateOf(fiber)
    if (state.uncontrolled) return evaluate(primitive, fiber)
    if (++this.steps > this.settings.maxSteps) {
      this.stop(this.endless())
      return this.park(primitive, fiber, operation)
    }
    this.print = Math.imul(this.print ^ (state.index * 997 + operation.charCodeAt(2) * 31 + operation.length), 16777619)

    const visible = this.settings.points === "all"
      ? !isInvisible(operation)
      : operation === "Sync" || operation === "Async"
    if (fiber.currentOpCount === 1) {
      if (this.beginsTurn(state)) return this.holdBack(state, primitive)
    } else if (state.held !== undefined) {
      if (state.held === primitive) state.held = undefined
    } else if (visible && state.moved && this.preempts(state)) {
      return this.holdBack(state, primitive)
    } else if (
      fiber.currentOpCount >= fiber.cache.maxOpsBeforeYield && !this.tasks.isEmpty && !this.isAtomic(state)
    ) {
      // Effect itself makes a fiber yield after so many operations: one that polls would never end without it.
      this.letOthersGo(state)
      return this.holdBack(state, primitive)
    }

    if (operation === "Yield") {
      this.yielding = state
      // a yield of the program's own; ours keeps the operation it holds back.
      if (state.held === undefined) this.letOthersGo(state)
    } else if (operation === "Async") {
      state.waiting = primitive
    }
    if (visible && state.held === undefined) state.moved = true
    this.recorder?.operation(state, primitive, operation)
    return evaluate(primitive, fiber)
  }

  private readonly tracer: Tracer.Tracer = Tracer.make({
    span: (options) => new Tracer.NativeSpan(options),
    context: this.hook
  })

  private stateOf(fiber: AnyFiber): FiberState {
    let state = this.fibers.get(fiber)
    if (state === undefined) {
      state = {
        fiber,
        index: this.fibers.size,
        // `runSync` brings a scheduler of its own, the only kind that is not "async".
        uncontrolled: fiber.cache.scheduler.executionMode === "sync",
        actor: -1,
        begun: false,
        moved: false,
        held: undefined,
        queued: undefined,
        waiting: undefined,
        context: undefined,
        atomic: false
      }
      this.fibers.set(fiber, state)
      this.recorder?.started(state)
    }
    this.lastFiber = fiber
    this.lastState = state
    return state
  }

  /** A fiber goes on from where it was suspended. True when it has to wait for a turn of its own. */
  private beginsTurn(state: FiberState): boolean {
    const dispatched = this.dispatched
    const fresh = !state.begun
    state.begun = true
    state.moved = false
    if (state.queued !== undefined) {
      if (state.queued !== dispatched) {
        // it was interrupted while it waited for its turn: that turn would do nothing.
        this.tasks.remove(state.queued)
        state.held = undefined
      }
      state.queued = undefined
    }
    if (dispatched !== undefined) {
      this.dispatched = undefined
      this.top = state
      if (fresh) state.actor = dispatched.actor
      return false
    }
    if (fresh) {
      // forked with `startImmediately`, inside its parent's operation.
      state.actor = this.actors++
      return false
    }
    if (this.isAtomic(state)) return false
    const at = this.points++
    if (this.preemptions >= this.bound) {
      this.cut = true
      return false
    }
    this.tasks.find()
    this.running = state
    if (this.choose(at, "resume", 2) === 0) return false
    this.preemptions++
    return true
  }

  /** Whether the fiber, about to go on, is made to wait. */
  private preempts(state: FiberState): boolean {
    if (this.isAtomic(state)) return false
    const at = this.points++
    const onTop = state === this.top
    if (this.preemptions >= this.bound) {
      if (!onTop || !this.tasks.isEmpty) this.cut = true
      return false
    }
    const ready = this.tasks.find()
    this.running = state
    if (!onTop) {
      // it runs inside another fiber's operation, which goes on when this one is held back.
      if (this.choose(at, "resume", 2) === 0) return false
    } else {
      if (ready.length === 0) return false
      const choice = this.choose(at, "preempt", 1 + ready.length)
      if (choice === 0) return false
      this.preferred = ready[choice - 1]
    }
    this.preemptions++
    return true
  }

  private letOthersGo(state: FiberState): void {
    if (state === this.top) this.polite = state
    this.strategy.yielded?.(state.actor)
  }

  private isAtomic(state: FiberState): boolean {
    const fiber = state.fiber
    if (state.context !== fiber.context) {
      state.context = fiber.context
      state.atomic = fiber.cache.preventYield || fiber.getRef(AtomicFiber) === fiber
    }
    return state.atomic
  }

  private holdBack<X>(state: FiberState, primitive: Primitive<X>): X {
    state.held = primitive
    return yieldBefore(primitive, state.fiber)
  }

  /** Once the run is over no fiber of it evaluates anything: each yields, to a dispatcher that drops its task. */
  private park<X>(primitive: Primitive<X>, fiber: AnyFiber, operation: string): X {
    if (this.executed) this.resumedFromOutside = true
    return operation === "Yield" ? evaluate(primitive, fiber) : yieldBefore(primitive, fiber)
  }

  private endless(): Conclusion {
    const ended = this.fibers.values().next().value?.fiber.pollUnsafe() !== undefined
    const limit = `${this.settings.maxSteps} operations`
    return ended
      ? { kind: "LeakedFiber", reason: `the program has ended, but a fiber still runs after ${limit}` }
      : { kind: "Spin", reason: `no end after ${limit}` }
  }
}

/** Repeating the choices of an earlier run led to another run. */
export const diverged: Conclusion = {
  kind: "NonDeterminism",
  reason: "the same choices led to another run: something outlives a run or differs between two of them " +
    "(state made outside the program, Math.random, Date.now, a real promise or timer)"
}

const isFailed = (exit: Exit.Exit<unknown, unknown> | undefined): boolean =>
  exit !== undefined && exit._tag === "Failure"

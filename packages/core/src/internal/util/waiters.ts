/**
 * Which fibers wait for something, directly or for a fiber that does: a close that
 * a handler runs under a time-out, in a race or by a promise runs in a fiber of its
 * own, and the handler waits for that.
 *
 * Effect links a fiber to nothing that waits for it. But whatever waits observes
 * it, by `addObserver`, and stays in the operation in which it did: so that method
 * is watched on the fibers that wait, and on those alone. One that observes and
 * goes on, such as one that keeps a set of fibers, does not wait.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

export type AnyFiber = Fiber.Fiber<unknown, unknown>

/** What the set of those that wait needs. */
export interface WaitersContext {
  readonly runFork: (effect: Effect.Effect<void>) => unknown
  /** A fiber turned out to wait for one that does. */
  readonly found: (fiber: AnyFiber) => void
}

interface Waiter {
  /** How often it waits. */
  times: number
  /** It does wait: it is not only one that has begun to observe, and may go on. */
  sure: boolean
  readonly observers: Array<AnyFiber>
  readonly unwatch: () => void
}

export class Waiters {
  private readonly context: WaitersContext
  private readonly waiters = new Map<AnyFiber, Waiter>()

  constructor(context: WaitersContext) {
    this.context = context
  }

  get size(): number {
    return this.waiters.size
  }

  readonly has = (fiber: AnyFiber): boolean => this.waiters.get(fiber)?.sure === true

  /** It waits from now on. */
  add(fiber: AnyFiber): void {
    this.enter(fiber).sure = true
  }

  /** It waits once less, and so do those that waited for it. */
  remove(fiber: AnyFiber): void {
    const waiter = this.waiters.get(fiber)
    if (waiter === undefined || --waiter.times > 0) return
    this.waiters.delete(fiber)
    waiter.unwatch()
    for (const observer of waiter.observers) this.remove(observer)
  }

  private enter(fiber: AnyFiber): Waiter {
    let waiter = this.waiters.get(fiber)
    if (waiter === undefined) {
      const observers: Array<AnyFiber> = []
      waiter = { times: 0, sure: false, observers, unwatch: watch(fiber, (by) => this.observed(fiber, by)) }
      this.waiters.set(fiber, waiter)
    }
    waiter.times++
    return waiter
  }

  /** Watched at once: where all of this began within one operation, those behind it come next. */
  private observed(fiber: AnyFiber, by: AnyFiber): void {
    this.waiters.get(fiber)?.observers.push(by)
    const { sure } = this.enter(by)
    if (sure) return
    const operation = by.currentOpCount
    const stays = () => by.pollUnsafe() === undefined && by.currentOpCount === operation
    this.context.runFork(Effect.map(Effect.yieldNow, () => this.decide(fiber, by, stays())))
  }

  private decide(fiber: AnyFiber, by: AnyFiber, stays: boolean): void {
    const waiter = this.waiters.get(by)
    if (waiter === undefined || waiter.sure) return
    if (stays) {
      waiter.sure = true
      return this.context.found(by)
    }
    const observers = this.waiters.get(fiber)?.observers
    const at = observers?.indexOf(by) ?? -1
    if (at === -1) return
    observers?.splice(at, 1)
    this.remove(by)
  }
}

/** What the method of a watched fiber tells. */
const watchers: unique symbol = Symbol("@effect-listener/core/watchers")

interface WatchedMethod {
  (observer: Parameters<AnyFiber["addObserver"]>[0]): () => void
  readonly [watchers]?: Set<(by: AnyFiber) => void>
}

/** Tells of each fiber that observes this one from now on. The result takes it back, and leaves the fiber as it was. */
const watch = (fiber: AnyFiber, observed: (by: AnyFiber) => void): () => void => {
  const { addObserver }: { readonly addObserver: WatchedMethod } = fiber
  const told = addObserver[watchers] ?? watchMethod(fiber, addObserver)
  told.add(observed)
  return () => {
    told.delete(observed)
    if (told.size === 0) Reflect.deleteProperty(fiber, "addObserver")
  }
}

const watchMethod = (fiber: AnyFiber, addObserver: WatchedMethod): Set<(by: AnyFiber) => void> => {
  const told = new Set<(by: AnyFiber) => void>()
  const value: WatchedMethod = Object.assign(
    (observer: Parameters<WatchedMethod>[0]) => {
      const by = Fiber.getCurrent()
      const remove = addObserver.call(fiber, observer)
      if (by !== undefined && by !== fiber) { for (const tell of Array.from(told)) tell(by) }
      return remove
    },
    { [watchers]: told }
  )
  Reflect.defineProperty(fiber, "addObserver", { configurable: true, writable: true, value })
  return told
}

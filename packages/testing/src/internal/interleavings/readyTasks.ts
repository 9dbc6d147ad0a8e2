/**
 * The tasks that wait for their turn, and which of them may go next.
 */
import type { Task } from "./types.ts"
import type { Timer, VirtualClock } from "./virtualClock.ts"

export class ReadyTasks {
  /** Those that were ready when `find` looked. */
  readonly ready: Array<Task> = []
  private readonly tasks: Array<Task> = []
  private readonly clock: VirtualClock
  private readonly nextActor: () => number
  private readonly advanced: (millis: number) => void

  constructor(clock: VirtualClock, nextActor: () => number, advanced: (millis: number) => void) {
    this.clock = clock
    this.nextActor = nextActor
    this.advanced = advanced
  }

  get isEmpty(): boolean {
    return this.tasks.length === 0
  }

  add(task: Task): void {
    this.tasks.push(task)
  }

  /**
   * Puts last what goes ahead of an outside event only if that is late, and
   * returns how many are left before it.
   *
   * An event comes when it comes: it can let any fiber go first, also one that
   * asked to let others go, and any timer. Letting it wait counts as a
   * preemption, or a program that polls would have no end of schedules.
   */
  arrangeByUrgency(polite: Task | undefined): number {
    const { ready } = this
    const index = polite === undefined ? -1 : ready.indexOf(polite)
    if (polite !== undefined && index >= 0) {
      if (ready.length === 1) return 1
      ready.splice(index, 1)
      const others = ready.length
      if (ready.every(isEvent)) ready.push(polite)
      return others
    }
    if (!ready.every(isEvent)) return ready.length
    const events = ready.length
    for (const timer of this.clock.due()) ready.push(this.taskOf(timer))
    return events === 0 ? ready.length : events
  }

  private taskOf(timer: Timer): Task {
    const run = () => {
      this.advanced(timer.at)
      this.clock.fire(timer)
    }
    return { run, priority: 0, origin: "timer", actor: this.nextActor(), fiber: undefined }
  }

  /** The tasks of the lowest priority number, which Effect runs before all others. */
  find(): Array<Task> {
    const ready = this.ready
    ready.length = 0
    let priority = Infinity
    for (const task of this.tasks) {
      if (task.priority > priority) continue
      if (task.priority < priority) {
        priority = task.priority
        ready.length = 0
      }
      ready.push(task)
    }
    return ready
  }

  remove(task: Task): boolean {
    const index = this.tasks.indexOf(task)
    if (index >= 0) this.tasks.splice(index, 1)
    return index >= 0
  }
}

const isEvent = (task: Task): boolean => task.origin === "event"

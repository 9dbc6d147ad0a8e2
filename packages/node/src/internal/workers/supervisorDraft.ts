import type { Action, Phase, Slot, State, Told, Worker } from "./supervisorState.ts"

export const emptySlots = (size: number): ReadonlyArray<Slot> =>
  Array.from({ length: size }, () => ({ restarts: 0, backOff: "None" }))

/** It holds the socket, and cannot sweep it. */
export const hasNotListened = ({ phase }: Worker): boolean => phase === "Loading" || phase === "Prepared"

/** It serves, or is about to. */
export const isLive = ({ phase }: Worker): boolean => phase !== "Draining" && phase !== "Killed"

/** A state on its way to the next one, and the actions to take. It leaves the state it began with alone. */
export class Draft {
  state: State
  readonly actions: Array<Action> = []

  constructor(state: State) {
    this.state = state
  }

  set(changes: Partial<State>): void {
    this.state = { ...this.state, ...changes }
  }

  act(action: Action): void {
    this.actions.push(action)
  }

  tell(event: Told): void {
    this.act({ _tag: "Tell", event })
  }

  worker(id: number): Worker | undefined {
    return this.state.workers.find((worker) => worker.id === id)
  }

  setWorker(id: number, changes: Partial<Worker>): void {
    this.set({ workers: this.state.workers.map((worker) => worker.id === id ? { ...worker, ...changes } : worker) })
  }

  move(id: number, from: Phase, to: Phase): void {
    if (this.worker(id)?.phase === from) this.setWorker(id, { phase: to })
  }

  remove(id: number): void {
    this.set({ workers: this.state.workers.filter((worker) => worker.id !== id) })
  }

  setSlot(slot: number, changes: Partial<Slot>): void {
    this.set({ slots: this.state.slots.map((known, i) => i === slot ? { ...known, ...changes } : known) })
  }

  cancelBackOff(slot: number): void {
    const backOff = this.state.slots[slot]?.backOff
    if (backOff === "Waiting") this.act({ _tag: "CancelBackOff", slot })
    if (backOff !== "None") this.setSlot(slot, { backOff: "None" })
  }

  spawn(slot: number): void {
    const { generation, nextId: id, workers } = this.state
    const worker: Worker = { id, slot, generation, phase: "Loading", since: 0, successor: undefined }
    this.set({ nextId: id + 1, workers: [...workers, worker] })
    this.act({ _tag: "Spawn", id, slot, generation })
  }

  stop({ id }: Worker, queue: "sweep" | "leave", successor: number | undefined): void {
    this.setWorker(id, { phase: "Draining", successor })
    this.act({ _tag: "Stop", id, queue })
  }

  kill({ id }: Worker): void {
    this.setWorker(id, { phase: "Killed" })
    this.act({ _tag: "Kill", id })
  }

  hasLive(slot: number): boolean {
    return this.state.workers.some((worker) => worker.slot === slot && isLive(worker))
  }

  hasSuccessor({ id, slot }: Worker): boolean {
    return this.state.workers.some((worker) => worker.slot === slot && worker.id > id && isLive(worker))
  }

  /** The slots in which a replacement is under way: a successor that does not accept yet, or an old one that drains. */
  slotsInReplacement(isOld: (worker: Worker) => boolean): ReadonlySet<number> {
    const { size, workers } = this.state
    return new Set(
      workers
        .filter((worker) => isOld(worker) ? !isLive(worker) : isLive(worker) && worker.phase !== "Accepting")
        .map(({ slot }) => slot)
        .filter((slot) => slot < size)
    )
  }

  /** Whether each slot from the given one on has a worker that accepts. */
  isFull(from: number): boolean {
    const { size, workers } = this.state
    for (let slot = from; slot < size; slot++) {
      if (!workers.some((worker) => worker.slot === slot && worker.phase === "Accepting")) return false
    }
    return true
  }
}

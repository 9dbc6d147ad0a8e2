/**
 * What a supervisor decides: a pure total function from the state of its workers
 * and an event to their next state and the actions to take. The shell beside it
 * (`supervisor.ts`) performs the actions and reports the events.
 *
 * After each event everything is looked at anew (`reconcile`), so that no order of
 * events can leave a slot empty or a worker forgotten.
 */
import { Draft, emptySlots, hasNotListened, isLive } from "./supervisorDraft.ts"

/**
 * Where a worker's process stands.
 *
 * - `Loading`: started; it has not said anything yet.
 * - `Prepared`: it has built everything, and waits for the word to listen.
 * - `Listening`: it has been told to listen, and may accept from now on.
 * - `Accepting`: it has said that it accepts.
 * - `Draining`: it stops by itself, or was asked to.
 * - `Killed`: it was ended by force, because it could not have swept.
 */
export type Phase = "Loading" | "Prepared" | "Listening" | "Accepting" | "Draining" | "Killed"

export interface Worker {
  /** The number of the process, never given twice. */
  readonly id: number
  readonly slot: number
  readonly generation: number
  readonly phase: Phase
  /** When it began to accept, in milliseconds of the shell's clock. */
  readonly since: number
  /** The worker that took its place in a replacement. */
  readonly successor: number | undefined
}

export interface Slot {
  /** How often a worker was started here in place of one that crashed. */
  readonly restarts: number
  /** Whether the next start waits for the back-off, or will not come. */
  readonly backOff: "None" | "Waiting" | "GivenUp"
}

/** How a process came to its end. */
export interface How {
  readonly pid: number | undefined
  readonly reason: "Spawn" | "Exited" | "TimedOut" | "Refused" | "GaveUp"
  readonly detail: string
}

/** Why a worker is not what it should be. */
export interface Failure extends How {
  readonly worker: number
  readonly slot: number
  readonly generation: number
}

export interface Replacement {
  readonly generation: number
  readonly failure: Failure | undefined
}

export interface State {
  readonly stage: "Created" | "Opening" | "Running" | "Closing" | "Closed"
  /** How many workers there should be. */
  readonly size: number
  /** How many are replaced at a time. */
  readonly concurrency: number
  /** How many replacements have been asked for. */
  readonly generation: number
  readonly nextId: number
  readonly workers: ReadonlyArray<Worker>
  readonly slots: ReadonlyArray<Slot>
  readonly replacement: Replacement | undefined
  /** The size to go back to when the scaling that runs fails. */
  readonly scalingFrom: number | undefined
  /** Why it closes by itself. */
  readonly failure: Failure | undefined
}

export type Event =
  | { readonly _tag: "Start" }
  | { readonly _tag: "Prepared"; readonly id: number }
  | { readonly _tag: "Accepting"; readonly id: number; readonly at: number }
  /** A worker has begun to close, asked or not. */
  | { readonly _tag: "Leaving"; readonly id: number; readonly at: number; readonly how: How }
  | { readonly _tag: "Exited"; readonly id: number; readonly at: number; readonly how: How }
  | { readonly _tag: "RestartDue"; readonly slot: number }
  /** The schedule of restarts has come to its end. */
  | { readonly _tag: "ScheduleEnded"; readonly slot: number }
  | { readonly _tag: "Replace" }
  | { readonly _tag: "Scale"; readonly size: number }
  | { readonly _tag: "Close" }

export type Action =
  | { readonly _tag: "Spawn"; readonly id: number; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Go"; readonly id: number }
  | { readonly _tag: "Stop"; readonly id: number; readonly queue: "sweep" | "leave" }
  | { readonly _tag: "Kill"; readonly id: number }
  /** Start the back-off of a slot; `fresh`: from its beginning. */
  | { readonly _tag: "BackOff"; readonly slot: number; readonly fresh: boolean }
  | { readonly _tag: "CancelBackOff"; readonly slot: number }
  | { readonly _tag: "ReleaseSockets" }
  | { readonly _tag: "Tell"; readonly event: Told }
  | { readonly _tag: "Opened" }
  | { readonly _tag: "ReplaceEnded"; readonly failure: Failure | "Closing" | undefined }
  | { readonly _tag: "ScaleEnded"; readonly failure: Failure | "Closing" | undefined }
  | { readonly _tag: "Closed"; readonly failure: Failure | undefined }

/** What subscribers to the events are told. */
export type Told =
  | { readonly _tag: "Accepting"; readonly worker: number }
  | { readonly _tag: "Crashed"; readonly failure: Failure }
  | { readonly _tag: "Replaced"; readonly worker: number; readonly by: number; readonly slot: number }
  | { readonly _tag: "RolledBack"; readonly failure: Failure }
  | { readonly _tag: "GaveUp"; readonly slot: number }

export interface Step {
  readonly state: State
  readonly actions: ReadonlyArray<Action>
}

/** A worker that has accepted for so long (ms) was healthy: the next back-off begins anew. */
const healthyAfter = 10_000

export const initial = (size: number, concurrency: number): State => ({
  stage: "Created",
  size,
  concurrency,
  generation: 0,
  nextId: 0,
  workers: [],
  slots: emptySlots(size),
  replacement: undefined,
  scalingFrom: undefined,
  failure: undefined
})

export const step = (state: State, event: Event): Step => {
  const draft = new Draft(state)
  apply(draft, event)
  reconcile(draft)
  return { state: draft.state, actions: draft.actions }
}

// --- what happened ----------------------------------------------------------

const apply = (draft: Draft, event: Event): void => {
  switch (event._tag) {
    case "Start":
      if (draft.state.stage === "Created") draft.set({ stage: "Opening" })
      return
    case "Prepared":
      return draft.move(event.id, "Loading", "Prepared")
    case "Accepting":
      return onAccepting(draft, event.id, event.at)
    case "Leaving":
      return onLeaving(draft, event.id, event.at, event.how)
    case "Exited":
      return onExited(draft, event.id, event.at, event.how)
    case "RestartDue":
      if (draft.state.slots[event.slot]?.backOff === "Waiting") draft.setSlot(event.slot, { backOff: "None" })
      return
    case "ScheduleEnded":
      if (draft.state.slots[event.slot]?.backOff !== "Waiting") return
      draft.setSlot(event.slot, { backOff: "GivenUp" })
      return draft.tell({ _tag: "GaveUp", slot: event.slot })
    case "Replace":
      return onReplace(draft)
    case "Scale":
      return onScale(draft, event.size)
    case "Close":
      if (draft.state.stage === "Closed") return draft.act({ _tag: "Closed", failure: draft.state.failure })
      if (draft.state.stage !== "Closing") beginClose(draft, undefined)
      return
  }
}

const onAccepting = (draft: Draft, id: number, at: number): void => {
  const worker = draft.worker(id)
  if (worker?.phase !== "Listening") return
  draft.setWorker(id, { phase: "Accepting", since: at })
  draft.tell({ _tag: "Accepting", worker: id })
}

/** A worker that closes unasked still drains, and its slot is empty from now on. */
const onLeaving = (draft: Draft, id: number, at: number, how: How): void => {
  const worker = draft.worker(id)
  if (worker?.phase !== "Accepting" && worker?.phase !== "Listening") return
  draft.setWorker(id, { phase: "Draining" })
  const failure = failureOf(worker, how)
  if (draft.state.stage === "Opening") return beginClose(draft, failure)
  draft.tell({ _tag: "Crashed", failure })
  restartLater(draft, worker, at)
}

const onExited = (draft: Draft, id: number, at: number, how: How): void => {
  const worker = draft.worker(id)
  if (worker === undefined) return
  draft.remove(id)
  if (draft.state.stage === "Closing") return
  const failure = failureOf(worker, how)
  const { replacement, scalingFrom, stage } = draft.state
  switch (worker.phase) {
    case "Killed":
      return
    case "Draining":
      if (worker.successor === undefined) return
      return draft.tell({ _tag: "Replaced", worker: id, by: worker.successor, slot: worker.slot })
    case "Accepting":
      if (stage === "Opening") return beginClose(draft, failure)
      draft.tell({ _tag: "Crashed", failure })
      return restartLater(draft, worker, at)
    case "Loading":
    case "Prepared":
    case "Listening":
      // nothing is served by pretending: a first start that fails is the end of all
      if (stage === "Opening") return beginClose(draft, failure)
      if (scalingFrom !== undefined && worker.slot >= scalingFrom) {
        draft.set({ size: scalingFrom, scalingFrom: undefined, slots: draft.state.slots.slice(0, scalingFrom) })
        draft.tell({ _tag: "RolledBack", failure })
        return draft.act({ _tag: "ScaleEnded", failure })
      }
      if (replacement !== undefined && worker.generation === replacement.generation) {
        draft.set({ replacement: { ...replacement, failure: replacement.failure ?? failure } })
      }
      draft.tell({ _tag: draft.hasLive(worker.slot) ? "RolledBack" : "Crashed", failure })
      return restartLater(draft, worker, at)
  }
}

/** Starts the back-off of a slot that has lost its worker, unless another one is there. */
const restartLater = (draft: Draft, { phase, since, slot }: Worker, at: number): void => {
  const known = draft.state.slots[slot]
  if (known === undefined || draft.state.stage !== "Running") return
  if (draft.state.workers.some((worker) => worker.slot === slot && isLive(worker))) return
  draft.setSlot(slot, { restarts: known.restarts + 1, backOff: "Waiting" })
  draft.act({ _tag: "BackOff", slot, fresh: phase === "Accepting" && at - since >= healthyAfter })
}

const onReplace = (draft: Draft): void => {
  const { generation, replacement, stage, workers } = draft.state
  if (stage !== "Running") return draft.act({ _tag: "ReplaceEnded", failure: "Closing" })
  if (replacement !== undefined) return
  draft.set({ generation: generation + 1, replacement: { generation: generation + 1, failure: undefined } })
  // what waits to be started, or has not begun to serve, is started anew at once
  draft.state.slots.forEach((_, slot) => draft.cancelBackOff(slot))
  for (const worker of workers) if (hasNotListened(worker)) draft.kill(worker)
}

const onScale = (draft: Draft, size: number): void => {
  const { scalingFrom, size: before, slots, stage } = draft.state
  if (stage !== "Running") return draft.act({ _tag: "ScaleEnded", failure: "Closing" })
  for (let slot = size; slot < before; slot++) draft.cancelBackOff(slot)
  draft.set({
    size,
    scalingFrom: Math.min(size, scalingFrom ?? before),
    slots: size > before ? [...slots, ...emptySlots(size - before)] : slots.slice(0, size)
  })
}

const beginClose = (draft: Draft, failure: Failure | undefined): void => {
  const { replacement, scalingFrom, slots } = draft.state
  slots.forEach((_, slot) => draft.cancelBackOff(slot))
  draft.set({ stage: "Closing", failure, replacement: undefined, scalingFrom: undefined })
  // holders that cannot sweep release it first: what connects to a socket from which nothing accepts is reset
  draft.act({ _tag: "ReleaseSockets" })
  if (replacement !== undefined) draft.act({ _tag: "ReplaceEnded", failure: replacement.failure ?? "Closing" })
  if (scalingFrom !== undefined) draft.act({ _tag: "ScaleEnded", failure: "Closing" })
}

// --- the actions ------------------------------------------------------------

const reconcile = (draft: Draft): void => {
  switch (draft.state.stage) {
    case "Created":
    case "Closed":
      return
    case "Opening":
      return reconcileOpening(draft)
    case "Running":
      return reconcileRunning(draft)
    case "Closing":
      return reconcileClosing(draft)
  }
}

/** No worker listens before all are prepared: one that fails until then costs no client anything. */
const reconcileOpening = (draft: Draft): void => {
  const { size } = draft.state
  for (let slot = 0; slot < size; slot++) if (!draft.hasLive(slot)) draft.spawn(slot)
  const { workers } = draft.state
  if (workers.every(({ phase }) => phase === "Accepting")) {
    draft.set({ stage: "Running" })
    return draft.act({ _tag: "Opened" })
  }
  if (workers.every(({ phase }) => phase !== "Loading")) goAhead(draft)
}

const reconcileRunning = (draft: Draft): void => {
  goAhead(draft)
  for (const worker of draft.state.workers) if (worker.slot >= draft.state.size) end(draft, worker, undefined)
  for (let slot = 0; slot < draft.state.size; slot++) reconcileSlot(draft, slot)
  reconcileReplacement(draft)
  reconcileScaling(draft)
  const { failure, slots, workers } = draft.state
  if (workers.length === 0 && slots.every(({ backOff }) => backOff === "GivenUp")) {
    beginClose(draft, failure ?? givenUp(draft.state.generation))
    reconcileClosing(draft)
  }
}

const givenUp = (generation: number): Failure => ({
  worker: -1,
  slot: 0,
  generation,
  pid: undefined,
  reason: "GaveUp",
  detail: "the schedule of restarts has ended in every slot"
})

const goAhead = (draft: Draft): void => {
  for (const { id, phase } of draft.state.workers) {
    if (phase !== "Prepared") continue
    draft.setWorker(id, { phase: "Listening" })
    draft.act({ _tag: "Go", id })
  }
}

/** One live worker a slot; the older one goes as soon as the newer one accepts. */
const reconcileSlot = (draft: Draft, slot: number): void => {
  const live = draft.state.workers.filter((worker) => worker.slot === slot && isLive(worker))
  const newest = live.at(-1)
  if (newest === undefined) {
    if (draft.state.slots[slot]?.backOff === "None") draft.spawn(slot)
    return
  }
  if (newest.phase !== "Accepting") return
  for (const worker of live) if (worker.id !== newest.id) end(draft, worker, newest.id)
}

const reconcileReplacement = (draft: Draft): void => {
  const { concurrency, replacement, size } = draft.state
  if (replacement === undefined) return
  const isOld = ({ generation }: Worker): boolean => generation < replacement.generation
  if (replacement.failure === undefined) {
    const waiting = draft.state.workers
      .filter((worker) => isOld(worker) && isLive(worker) && worker.slot < size && !draft.hasSuccessor(worker))
      .sort((one, other) => one.generation - other.generation || one.since - other.since || one.id - other.id)
    const free = concurrency - draft.slotsInReplacement(isOld).size
    for (const { slot } of waiting.slice(0, Math.max(0, free))) draft.spawn(slot)
  }
  const { workers } = draft.state
  const settled = draft.slotsInReplacement(isOld).size === 0
  const whole = workers.every((worker) => !isOld(worker) && worker.phase === "Accepting") && draft.isFull(0)
  if (replacement.failure === undefined ? !whole : !settled) return
  draft.set({ replacement: undefined })
  draft.act({ _tag: "ReplaceEnded", failure: replacement.failure })
}

const reconcileScaling = (draft: Draft): void => {
  const { scalingFrom, size, workers } = draft.state
  if (scalingFrom === undefined || workers.some(({ slot }) => slot >= size) || !draft.isFull(scalingFrom)) return
  draft.set({ scalingFrom: undefined })
  draft.act({ _tag: "ScaleEnded", failure: undefined })
}

/** Workers that have not listened hold the socket and cannot sweep: they are gone before the first of the others stops. */
const reconcileClosing = (draft: Draft): void => {
  for (const worker of draft.state.workers) if (hasNotListened(worker)) draft.kill(worker)
  const { workers } = draft.state
  if (workers.length === 0) {
    draft.set({ stage: "Closed" })
    return draft.act({ _tag: "Closed", failure: draft.state.failure })
  }
  if (workers.some(({ phase }) => phase === "Killed")) return
  for (const worker of workers) if (isLive(worker)) draft.stop(worker, "sweep", undefined)
}

/** The supervisor stays and has the socket: what is in the queue can be left to the others. */
const end = (draft: Draft, worker: Worker, successor: number | undefined): void => {
  if (hasNotListened(worker)) draft.kill(worker)
  else if (isLive(worker)) draft.stop(worker, "leave", successor)
}

const failureOf = ({ generation, id, slot }: Worker, how: How): Failure => ({ ...how, worker: id, slot, generation })

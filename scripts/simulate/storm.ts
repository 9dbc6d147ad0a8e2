import { Effect, Random } from "effect"
import { agePosition, ageStep, oldAt } from "../../packages/core/src/internal/connection/draining/ageLimit.ts"
import { spreadWindow, turnOf } from "../../packages/core/src/internal/connection/draining/drainSpread.ts"
import { Backlog, Calendar } from "./clients.ts"

/** What is restarted, and what its clients do. Times in milliseconds of virtual time. */
export interface Storm {
  readonly instances: number
  /** Connections of each when it begins. */
  readonly connections: number
  /** How the balancer chooses among the instances that are ready. */
  readonly balancer: "random" | "fewest"
  /** Of each instance's drain: the listener's own options. */
  readonly lameDuck: number
  readonly spread: number
  readonly deadline: number
  readonly age: { readonly max: number; readonly jitter: number } | undefined
  /** How long an instance takes from its exit until it is ready again. */
  readonly startup: number
  /** How many handshakes an instance gets done in a second; the others wait, first come first. */
  readonly handshakes: number
  /** A client comes back within so much, at random. */
  readonly reconnect: number
  /** One request of a client in so much, and how long it may wait for its connection. */
  readonly requestEvery: number
  readonly requestTimeout: number
  /** It is balanced when no instance is further from the mean than this part of it. */
  readonly tolerance: number
  /** How long the simulation goes on at most after the last restart. */
  readonly horizon: number
}

export interface StormResult {
  /** The most clients that came to one instance in one second. */
  readonly peak: number
  /** The longest that a client was without a connection. */
  readonly longest: number
  /** Requests that waited for a connection for longer than their time-out. */
  readonly lost: number
  /** From the first goodbye until the last instance was back. */
  readonly restart: number
  /** From when the last instance was back until all had as many; `undefined`: not within the horizon. */
  readonly balanced: number | undefined
  readonly connections: { readonly least: number; readonly most: number; readonly sum: number }
  /** By seconds: how many came to the instance to which the most came, and what the fullest and the emptiest had. */
  readonly seconds: ReadonlyArray<
    { readonly arrivals: number; readonly fullest: number; readonly emptiest: number }
  >
}

/** The storm of the documentation. */
export const wholeStorm: Omit<Storm, "balancer" | "spread" | "age"> = {
  instances: 50,
  connections: 20_000,
  lameDuck: 5000,
  deadline: 20_000,
  startup: 5000,
  handshakes: 1000,
  reconnect: 100,
  requestEvery: 10_000,
  requestTimeout: 1000,
  tolerance: 0.1,
  horizon: 7_200_000
}

const tick = 10
const second = 1000

interface Instance {
  phase: "Ready" | "LameDuck" | "Draining" | "Starting"
  connections: number
  ids: number
  seed: number
  arrivals: number
  /** What is left of the handshakes of this tick and those before. */
  room: number
  readonly backlog: Backlog
}

/**
 * A rolling restart of instances, one after another, and what becomes of their
 * clients. When a connection is told goodbye is decided by what decides it in a
 * listener, the turns of a spread and the ages of connections: a million
 * connections of the memory transport do not fit into one process, their places
 * and times do. What a drain owes a connection is not part of it: nothing in
 * flight is lost there, so a request is lost here only if it finds no connection.
 */
export const storm = (options: Storm): StormResult => new Simulation(options).run()

class Simulation {
  private readonly options: Storm
  private readonly random: () => number
  private readonly instances: ReadonlyArray<Instance>
  private readonly place: Int16Array
  private readonly id: Int32Array
  /** Which connection of its client it is: what was due for one before is void. */
  private readonly epoch: Uint16Array
  private readonly leftAt: Float64Array
  private readonly coming = new Calendar()
  private readonly going = new Calendar()
  private readonly ageing = new Calendar()
  private now = 0
  private peak = 0
  private longest = 0
  private lost = 0
  private readonly seconds: Array<StormResult["seconds"][number]> = []

  constructor(options: Storm) {
    const total = options.instances * options.connections
    const source = Effect.runSync(Random.withSeed(
      Effect.gen(function*() {
        return yield* Random.Random
      }),
      "storm"
    ))
    this.options = options
    this.random = () => source.nextDoubleUnsafe()
    this.instances = Array.from({ length: options.instances }, () => this.fresh())
    this.place = new Int16Array(total).fill(-1)
    this.id = new Int32Array(total)
    this.epoch = new Uint16Array(total)
    this.leftAt = new Float64Array(total)
    for (let client = 0; client < total; client++) {
      this.connected(client, client % options.instances, this.random())
    }
  }

  run(): StormResult {
    const { horizon, instances } = this.options
    let restarting = 0
    let phaseEnds = this.leave(0)
    let restart: number | undefined
    let balanced: number | undefined
    while (balanced === undefined && (restart === undefined || this.now < restart + horizon)) {
      if (restart === undefined && this.now >= phaseEnds) {
        phaseEnds = this.nextPhase(restarting)
        if (this.instances[restarting]!.phase === "Ready") {
          if (++restarting === instances) restart = this.now
          else phaseEnds = this.leave(restarting)
        }
      }
      this.step()
      if (restart === undefined) continue
      if (this.now % second === 0 && this.isBalanced()) balanced = this.now - restart
      // nothing moves any more
      if (this.options.age === undefined && this.coming.size === 0 && this.waiting === 0) break
    }
    const counts = this.instances.map(({ connections }) => connections)
    return {
      peak: this.peak,
      longest: this.longest,
      lost: Math.round(this.lost),
      restart: restart ?? this.now,
      balanced,
      connections: {
        least: Math.min(...counts),
        most: Math.max(...counts),
        sum: counts.reduce((sum, count) => sum + count, 0)
      },
      seconds: this.seconds
    }
  }

  // --- instances -------------------------------------------------------------------------------------------------

  private fresh(): Instance {
    return {
      phase: "Ready",
      connections: 0,
      ids: 0,
      seed: this.random(),
      arrivals: 0,
      room: 0,
      backlog: new Backlog()
    }
  }

  /** No new clients from now on; answers when the drain begins. */
  private leave(at: number): number {
    this.instances[at]!.phase = "LameDuck"
    return this.now + this.options.lameDuck
  }

  /** Answers when the phase after it ends. */
  private nextPhase(at: number): number {
    const instance = this.instances[at]!
    switch (instance.phase) {
      case "LameDuck": {
        instance.phase = "Draining"
        return this.drain(at)
      }
      case "Draining":
        if (instance.connections > 0 || instance.backlog.size > 0) return this.now + tick
        instance.phase = "Starting"
        return this.now + this.options.startup
      default:
        instance.phase = "Ready"
        instance.ids = 0
        instance.seed = this.random()
        return this.now
    }
  }

  /** Says goodbye to all, at the turn of each. */
  private drain(at: number): number {
    const { deadline, spread } = this.options
    const clients: Array<number> = []
    for (let client = 0; client < this.place.length; client++) if (this.place[client] === at) clients.push(client)
    clients.sort((one, other) => this.id[one]! - this.id[other]!)
    const window = spreadWindow(this.now, spread, this.now + deadline)
    for (const [ordinal, client] of clients.entries()) {
      this.going.add(this.tickOf(turnOf(window, ordinal, clients.length)), this.eventOf(client))
    }
    return window.until
  }

  private get waiting(): number {
    return this.instances.reduce((sum, { backlog }) => sum + backlog.size, 0)
  }

  private isBalanced(): boolean {
    const { connections, tolerance } = this.options
    return this.instances.every((one) => Math.abs(one.connections - connections) <= connections * tolerance)
  }

  // --- clients ---------------------------------------------------------------------------------------------------

  /** `lived`: which part of its life is over. */
  private connected(client: number, at: number, lived = 0): void {
    const { age } = this.options
    const instance = this.instances[at]!
    instance.connections++
    this.place[client] = at
    const id = this.id[client] = ++instance.ids
    if (age === undefined) return
    const step = ageStep(age)
    const life = oldAt(age, 0, agePosition(instance.seed, id))
    const due = this.now + life * (1 - lived)
    this.ageing.add(this.tickOf(Math.ceil(due / step) * step), this.eventOf(client))
  }

  /** Its connection has ended, and it comes back. */
  private left(event: number): void {
    const client = event % this.place.length
    const at = this.place[client]!
    if (at < 0 || this.eventOf(client) !== event) return
    this.instances[at]!.connections--
    this.place[client] = -1
    this.epoch[client]!++
    this.leftAt[client] = this.now
    this.coming.add(this.tickOf(this.now + this.random() * this.options.reconnect), client)
  }

  private arrives(client: number): void {
    const instance = this.instances[this.choose()]!
    instance.arrivals++
    instance.backlog.add(client)
  }

  private choose(): number {
    const { balancer, instances } = this.options
    if (balancer === "random") {
      while (true) {
        const at = Math.floor(this.random() * instances)
        if (this.instances[at]!.phase === "Ready") return at
      }
    }
    let fewest = -1
    let least = Infinity
    for (let at = 0; at < instances; at++) {
      const { backlog, connections, phase } = this.instances[at]!
      const load = connections + backlog.size
      if (phase === "Ready" && load < least) {
        fewest = at
        least = load
      }
    }
    return fewest
  }

  private accept(at: number): void {
    const { handshakes, requestEvery, requestTimeout } = this.options
    const instance = this.instances[at]!
    instance.room = Math.min(instance.room + handshakes * tick / second, Math.max(1, handshakes * tick / second))
    while (instance.room >= 1 && instance.backlog.size > 0) {
      instance.room--
      const client = instance.backlog.take()
      this.connected(client, at)
      // it came too late for a turn, and is told with its first answer
      if (instance.phase === "Draining") this.going.add(this.now / tick + 1, this.eventOf(client))
      // of the requests that came meanwhile, the oldest have waited too long
      const away = this.now - this.leftAt[client]!
      this.longest = Math.max(this.longest, away)
      this.lost += Math.max(0, away - requestTimeout) / requestEvery
    }
  }

  // --- time ------------------------------------------------------------------------------------------------------

  private step(): void {
    const due = this.now / tick
    for (const event of this.going.take(due)) this.left(event)
    for (const event of this.ageing.take(due)) {
      const at = this.place[event % this.place.length]!
      // a drain tells it in its turn
      if (at >= 0 && this.instances[at]!.phase !== "Draining") this.left(event)
    }
    for (const client of this.coming.take(due)) this.arrives(client)
    for (let at = 0; at < this.instances.length; at++) this.accept(at)
    this.now += tick
    if (this.now % second === 0) this.endSecond()
  }

  private endSecond(): void {
    let [arrivals, fullest, emptiest] = [0, 0, Infinity]
    for (const instance of this.instances) {
      arrivals = Math.max(arrivals, instance.arrivals)
      fullest = Math.max(fullest, instance.connections)
      emptiest = Math.min(emptiest, instance.connections)
      instance.arrivals = 0
    }
    this.peak = Math.max(this.peak, arrivals)
    this.seconds.push({ arrivals, fullest, emptiest })
  }

  /** The tick that a time falls into, this one at the soonest. */
  private tickOf(at: number): number {
    return Math.max(this.now / tick, Math.ceil(at / tick))
  }

  private eventOf(client: number): number {
    return this.epoch[client]! * this.place.length + client
  }
}

import type * as ListenerRegistry from "@effect-listener/core/ListenerRegistry"
import * as Effect from "effect/Effect"
import type { WatchedRegistry } from "../stopping/closeMembers.ts"

/** Which listeners of a program do not take connections yet. */
export class Readiness {
  private readonly waiting = new Set<ListenerRegistry.Member>()
  private readonly handlers: Array<() => void> = []
  private joined = false

  constructor(registry: WatchedRegistry) {
    for (const member of registry.members()) this.watch(member)
    registry.onJoin((member) => this.watch(member))
  }

  /** By name. */
  get unserved(): ReadonlyArray<string> {
    return Array.from(this.waiting, ({ name }) => name)
  }

  /** There are listeners, and all of them take connections. */
  get isReady(): boolean {
    return this.joined && this.waiting.size === 0
  }

  onChange(handle: () => void): void {
    this.handlers.push(handle)
  }

  private watch(member: ListenerRegistry.Member): void {
    this.joined = true
    this.waiting.add(member)
    Effect.runFork(member.serving ?? Effect.void).addObserver(() => {
      this.waiting.delete(member)
      for (const handle of this.handlers) handle()
    })
  }
}

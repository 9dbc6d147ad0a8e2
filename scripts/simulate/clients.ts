/** What waits for its time: numbers by the tick that they are due in. */
export class Calendar {
  private readonly due = new Map<number, Array<number>>()
  size = 0

  add(tick: number, event: number): void {
    const slot = this.due.get(tick)
    if (slot === undefined) this.due.set(tick, [event])
    else slot.push(event)
    this.size++
  }

  take(tick: number): ReadonlyArray<number> {
    const slot = this.due.get(tick) ?? []
    this.due.delete(tick)
    this.size -= slot.length
    return slot
  }
}

/** Clients that have connected to an instance and wait for their handshake, first come first. */
export class Backlog {
  private clients: Array<number> = []
  private next = 0

  get size(): number {
    return this.clients.length - this.next
  }

  add(client: number): void {
    this.clients.push(client)
  }

  take(): number {
    const client = this.clients[this.next++]!
    if (this.next === this.clients.length) {
      this.clients = []
      this.next = 0
    }
    return client
  }
}

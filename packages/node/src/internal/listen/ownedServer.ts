import * as Net from "node:net"

/** Says when the process closes it past its listener, as `node:cluster` does with a worker that is to disconnect. */
export class OwnedServer extends Net.Server {
  private readonly closedPast: () => void

  constructor(options: Net.ServerOpts, closedPast: () => void) {
    super(options)
    this.closedPast = closedPast
  }

  override close(callback?: (error?: Error) => void): this {
    const { listening } = this
    super.close(callback)
    if (listening) this.closedPast()
    return this
  }

  closeByListener(): void {
    super.close()
  }
}

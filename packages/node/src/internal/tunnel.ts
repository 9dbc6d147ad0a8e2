/**
 * A connection that was made a tunnel by a CONNECT, for which an application
 * listens itself. Nobody here knows what is said in it, so it is in flight to
 * its end.
 */
import type * as Http from "node:http"
import type * as Net from "node:net"
import { label } from "./http1.ts"
import type { Ending, InFlight, Protocol } from "./httpConnection.ts"

export class Tunnel implements Protocol {
  readonly name = "tunnel"
  private readonly socket: Net.Socket
  private readonly work: InFlight

  constructor(request: Http.IncomingMessage, socket: Net.Socket) {
    this.socket = socket
    this.work = { label: label(request.method, request.url), since: performance.now() }
  }

  busy(): boolean {
    return true
  }

  inFlight(): ReadonlyArray<InFlight> {
    return [this.work]
  }

  lastActive(): number {
    return -Infinity
  }

  draining(): void {}

  /** Never asked for: it is never idle. */
  goodbye(): void {}

  phase(): undefined {
    return undefined
  }

  bytesPending(): number {
    return this.socket.writableLength
  }

  closed(): Ending {
    return this.socket.writableFinished ? "normal" : "byPeer"
  }
}

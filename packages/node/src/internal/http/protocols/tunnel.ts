/**
 * A connection that was made a tunnel by a CONNECT, for which an application
 * listens itself. What is said in it is not known here, so it is in flight to
 * its end.
 */
import type { Ending } from "@effect-listener/core/Connection"
import type * as Http from "node:http"
import type * as Net from "node:net"
import type { HttpConnection } from "../httpConnection.ts"
import type { Begun, InFlight, Protocol } from "../protocol.ts"
import { label } from "./http1.ts"

export class Tunnel implements Protocol {
  readonly name = "tunnel"
  private readonly socket: Net.Socket
  private readonly owner: HttpConnection
  private readonly work: InFlight & Begun

  constructor(owner: HttpConnection, request: Http.IncomingMessage, socket: Net.Socket) {
    this.owner = owner
    this.socket = socket
    const name = label(request.method, request.url)
    this.work = { label: name, since: performance.now(), span: owner.exchangeBegan(owner.traced ? name : undefined) }
  }

  busy(): boolean {
    return true
  }

  exchanges(): ReadonlyArray<InFlight> {
    return [this.work]
  }

  lastActive(): number {
    return -Infinity
  }

  drainNotified(): void {}

  /** Never asked for: it is never idle. */
  goodbye(): void {}

  phase(): undefined {
    return undefined
  }

  bytesPending(): number {
    return this.socket.writableLength
  }

  closed(): Ending {
    this.owner.exchangeEnded(this.work.since, this.work.span)
    return this.socket.writableFinished ? "normal" : "byPeer"
  }
}

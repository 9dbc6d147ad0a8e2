/**
 * What is spoken on a connection of an HTTP server: a handshake, HTTP/1, HTTP/2,
 * a WebSocket, a tunnel.
 */
import type { Ending } from "@effect-listener/core/Connection"
import type { ConnectionPhase } from "@effect-listener/core/DrainReport"
import type * as Tracer from "effect/Tracer"

/** Something in flight. */
export interface InFlight {
  readonly label: string
  /** Milliseconds of `performance.now()`. */
  readonly since: number
}

/** Something that began, and whose end the listener is told. */
export interface Begun {
  /** Milliseconds of `performance.now()`. */
  readonly since: number
  readonly span: Tracer.Span | undefined
}

/** What is spoken on a connection. Times are milliseconds of `performance.now()`. */
export interface Protocol {
  readonly name: string
  readonly busy: () => boolean
  /** When the socket is gone: what the handlers that still run have been asked for. */
  readonly exchanges: () => ReadonlyArray<InFlight>
  /** When the connection was last used, while it is idle: its grace begins there. */
  readonly lastActive: () => number
  /** The listener goes away. Called once, and on a protocol that begins later at its beginning. */
  readonly drainNotified: () => void
  /** Nothing is in flight: say the last word, and end; where it does not linger, without waiting for the client. */
  readonly goodbye: (lingers: boolean) => void
  /** What is in flight is cut: says so, and whether it destroys the socket itself when that is out. */
  readonly breakOff?: (() => boolean) | undefined
  readonly phase: () => ConnectionPhase | undefined
  readonly bytesPending: () => number
  /** Another protocol comes after it. */
  readonly replaced?: (() => void) | undefined
  /** The socket is gone, and what was in flight has ended; answers why, as far as no last word explains it. */
  readonly closed: () => Ending
}

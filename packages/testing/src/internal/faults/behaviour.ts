import type { ConnectionFault } from "../../Faults.ts"

/** What the faults of one connection mean together. */
export interface Behaviour {
  readonly handshakeClosed: ConnectionFault | undefined
  readonly resetIn: (ConnectionFault & { readonly after: number }) | undefined
  readonly resetOut: (ConnectionFault & { readonly after: number }) | undefined
  readonly silence: (ConnectionFault & { readonly after: number }) | undefined
  readonly halfOpen: (ConnectionFault & { readonly after: number }) | undefined
  readonly slowLoris: (ConnectionFault & { readonly interval: number }) | undefined
  readonly slowFlush: (ConnectionFault & { readonly bytesPerSecond: number }) | undefined
  readonly stuckFlush: (ConnectionFault & { readonly after: number }) | undefined
}

/**
 * Sockets that are bound without listening, whose descriptor is public:
 * `net.BoundSocket`, from Node 24.19 on.
 */
import * as Net from "node:net"

/** Node 24.21 takes a path as well; its types do not say so yet. */
export interface BoundSocketOptions extends Net.BoundSocketOptions {
  readonly path?: string | undefined
}

/** Older Nodes have none. */
const Constructor = (Net as { readonly BoundSocket?: new(options: BoundSocketOptions) => Net.BoundSocket }).BoundSocket

/** Why this process cannot be the first to hold a socket for others; undefined where it can. */
export const cannotHold: string | undefined = process.platform === "win32"
  ? "sockets that are passed on, on Windows"
  : Constructor === undefined
  ? `sockets that are passed on: they need Node 24.19 or newer, and this is ${process.version}`
  : undefined

/** Binds, at once, to an address that is no name; throws as bind(2) fails. */
export const bindSocket = (options: BoundSocketOptions): Net.BoundSocket => {
  if (Constructor === undefined) throw new Error(cannotHold)
  return new Constructor(options)
}

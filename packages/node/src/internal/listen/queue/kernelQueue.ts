import * as Fs from "node:fs"
import type * as Net from "node:net"

/** The accept queue of a port, as the kernel has it. */
export interface KernelQueue {
  /** Some process listens there. */
  readonly listened: boolean
  /** How many connections wait to be accepted. */
  readonly waiting: number
}

/**
 * The accept queue at the address of a listening TCP socket, where the system shows
 * it: Linux does, in the receive queue of such a socket (proc(5), `tcp_get_info`).
 * Sockets of its family that share its port are summed.
 */
export const kernelQueue = ({ family, port }: Pick<Net.AddressInfo, "family" | "port">): KernelQueue | undefined => {
  if (process.platform !== "linux") return undefined
  try {
    return queuedIn(family === "IPv6" ? "/proc/net/tcp6" : "/proc/net/tcp", port)
  } catch {
    // where /proc cannot be read, nothing is known
    return undefined
  }
}

/**
 * Listening sockets come first, 150 bytes each: the thousands of connections behind them are not read. The table of the
 * other family is not asked: where it has no connection, the kernel looks for one through all of this family's.
 */
const chunk = 16 * 1024
const listenState = "0A"

const queuedIn = (file: string, port: number): KernelQueue => {
  const fd = Fs.openSync(file, "r")
  try {
    const buffer = Buffer.alloc(chunk)
    let text = ""
    let listened = false
    let waiting = 0
    while (true) {
      const size = Fs.readSync(fd, buffer)
      text += buffer.toString("latin1", 0, size)
      const lines = text.split("\n")
      text = lines.pop()!
      for (const line of lines) {
        const [slot, local, , state, queues] = line.trim().split(/\s+/)
        // the heading
        if (slot === "sl") continue
        if (state !== listenState) return { listened, waiting }
        if (Number.parseInt(local!.slice(local!.lastIndexOf(":") + 1), 16) !== port) continue
        listened = true
        waiting += Number.parseInt(queues!.slice(queues!.indexOf(":") + 1), 16)
      }
      if (size === 0) return { listened, waiting }
    }
  } finally {
    Fs.closeSync(fd)
  }
}

/** Many clients at once, which stay until they are refused or told to go. */
import { spawnSync } from "node:child_process"
import * as Net from "node:net"
import * as Os from "node:os"
import { answer } from "./child.ts"

export interface Flood {
  /** Milliseconds until every one of them was refused or held. */
  readonly duration: number
  readonly refused: number
  readonly held: number
  readonly failed: number
}

const port = Number(process.argv[2])
// Floods come from other machines: this one's processors are for those they are measured by. Linux has a class of
// processes that run when no other wants to; elsewhere a low priority has to do.
const idle = spawnSync("chrt", ["--all-tasks", "--idle", "--pid", "0", String(process.pid)]).status === 0
if (!idle) Os.setPriority(Os.constants.priority.PRIORITY_LOW)

/** How many are on their way at a time: the server always has some to accept, and its kernel drops none. */
const onTheirWay = 400

export interface Order {
  readonly count: number
  /** How many of them the server may hold. */
  readonly hold: number
  /** How many a second; `null` for as many as it can. */
  readonly rate: number | null
}

const flood = ({ count, hold, rate }: Order): Promise<Flood> =>
  new Promise((resolve) => {
    const began = performance.now()
    const open = new Set<Net.Socket>()
    let begun = 0
    let refused = 0
    let failed = 0
    const more = () => {
      const due = rate === null ? count : Math.min(count, Math.ceil((performance.now() - began) / 1000 * rate))
      while (begun < due && open.size < hold + onTheirWay) connect()
      if (begun < count || open.size > hold) return
      const duration = performance.now() - began
      clearInterval(pace)
      const held = open.size
      for (const socket of open) socket.destroy()
      open.clear()
      resolve({ duration, refused, held, failed })
    }
    const connect = () => {
      begun++
      const socket = Net.connect(port, "127.0.0.1")
      open.add(socket)
      socket.on("end", () => {
        if (!open.delete(socket)) return
        refused++
        more()
      })
      socket.on("error", () => {
        if (!open.delete(socket)) return
        failed++
        more()
      })
      socket.resume()
    }
    const pace = rate === null ? undefined : setInterval(more, 1)
    more()
  })

answer(flood)
process.send!({ priority: idle ? "idle" : "low" })

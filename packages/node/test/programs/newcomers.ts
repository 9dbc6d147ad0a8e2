/** Connects again and again, never waiting for an answer, in a thread of its own. */
import * as Net from "node:net"
import { parentPort, workerData } from "node:worker_threads"

const { every, target } = workerData as { readonly target: Net.NetConnectOpts; readonly every: number }

setInterval(() => {
  const socket = Net.connect(target, () => parentPort?.postMessage("connected"))
  socket.on("error", () => {})
  socket.resume()
}, every)

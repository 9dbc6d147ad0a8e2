/**
 * Which HTTP a client speaks in the clear: HTTP/2 with prior knowledge begins
 * with a preface that no HTTP/1 request begins with.
 */
import type * as Net from "node:net"

/** "PRI": a method that HTTP/1 reserves for this (RFC 9113, section 3.4). */
const preface = Buffer.from("PRI")

export type Spoken = "http/1.1" | "h2"

/**
 * Reads as much as tells, puts it back, and calls `known`. Nothing is called
 * for a socket that ends before: answers how to stop.
 */
export const firstBytes = (socket: Net.Socket, known: (spoken: Spoken) => void): () => void => {
  let held: Buffer | undefined
  const stop = () => {
    socket.off("readable", look)
  }
  const look = () => {
    const chunk: Buffer | null = socket.read()
    if (chunk === null) return
    held = held === undefined ? chunk : Buffer.concat([held, chunk])
    const length = Math.min(held.length, preface.length)
    const same = held.compare(preface, 0, length, 0, length) === 0
    if (same && length < preface.length) return
    stop()
    socket.unshift(held)
    known(same ? "h2" : "http/1.1")
  }
  socket.on("readable", look)
  return stop
}

/**
 * The load of the demo and what became of it, counted from the clients' side.
 *
 * Real sockets of `node:net` against a server process: 200 clients with an
 * exchange in flight, 200 idle ones, one that reads a large answer slowly, one
 * whose exchange never ends, and 100 that connect while the server's event loop
 * is blocked. Then the server gets SIGTERM.
 */
import * as Net from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import type { ServerProcess } from "./serverProcess.ts"

export const size = {
  inFlight: 200,
  idle: 200,
  late: 100,
  download: 64 * 1024 * 1024
} as const

/** How long an exchange takes (ms). */
const exchange = 3000
/** How fast the slow reader reads (bytes a millisecond): some two seconds for all of it. */
const readingRate = 40_000
/** How long the server's event loop is held (ms). */
const blocked = 800

/** What became of the clients. Times are milliseconds after SIGTERM. */
export interface Figures {
  readonly inFlightAnswered: number
  readonly firstAnswerAt: number | undefined
  readonly idleEnded: number
  readonly lastIdleEndAt: number | undefined
  readonly downloaded: number
  readonly servedWhileBlocked: number
  readonly neverEnder: { readonly address: string; readonly endedAt: number | undefined }
  /** From SIGTERM to the end of the process; undefined when it had to be killed. */
  readonly took: number | undefined
}

/** Runs the load against a server, sends it SIGTERM, and counts until it ends or is killed after `deadline` ms. */
export const run = async (server: ServerProcess, deadline: number): Promise<Figures> => {
  const connect = (count: number): Array<Client> => Array.from({ length: count }, () => new Client(server.port))
  const idle = connect(size.idle)
  const inFlight = connect(size.inFlight)
  const [slow, never, blocker] = [new Client(server.port), new Client(server.port), new Client(server.port)]
  const clients = [...idle, ...inFlight, slow, never, blocker]
  await Promise.all(clients.map((client) => client.ask("echo hello\n", "hello\n")))

  // both lines in one write: a client that is told "begun" has its exchange in flight
  await Promise.all(inFlight.map((client) => client.ask(`echo begun\nsleep ${exchange}\n`, "begun\n")))
  await never.ask("echo begun\nnever\n", "begun\n")
  slow.read(readingRate)
  slow.socket.write(`bytes ${size.download}\n`)

  blocker.socket.write(`block ${blocked}\n`)
  await sleep(blocked / 4)
  const late = connect(size.late)
  await Promise.all(late.map((client) => client.connected))
  for (const client of late) client.socket.write("echo served\n")

  const start = performance.now()
  server.signal("SIGTERM")
  const took = await server.endedWithin(deadline)
  // of a process that ended, the kernel still delivers what it had sent; of a killed one nothing more counts
  if (took !== undefined) {
    await Promise.race([Promise.all([...clients, ...late].map((client) => client.end)), sleep(2000)])
  }

  const answered = inFlight.filter((client) => client.text.includes(`slept ${exchange}\n`))
  const idleEnded = idle.filter((client) => client.endedCleanly)
  const since = (at: number | undefined): number | undefined => at === undefined ? undefined : at - start
  const figures = {
    inFlightAnswered: answered.length,
    firstAnswerAt: since(least(answered.map((client) => client.lastByteAt))),
    idleEnded: idleEnded.length,
    lastIdleEndAt: since(greatest(idleEnded.map((client) => client.endedAt))),
    downloaded: slow.bytes - "hello\n".length,
    servedWhileBlocked: late.filter((client) => client.text.includes("served\n")).length,
    neverEnder: { address: never.address, endedAt: since(never.endedAt) },
    took
  }
  await server.kill()
  for (const client of [...clients, ...late]) client.socket.destroy()
  return figures
}

/** One client: what it received, and when and how its connection ended. */
class Client {
  text = ""
  bytes = 0
  lastByteAt: number | undefined
  endedAt: number | undefined
  endedCleanly = false
  /** Its own address, by which the server knows it. */
  address = ""
  readonly socket: Net.Socket
  readonly connected: Promise<void>
  readonly end: Promise<void>

  constructor(port: number) {
    this.socket = Net.connect({ port, host: "127.0.0.1" })
    this.socket.once("connect", () => {
      this.address = `${this.socket.localAddress}:${this.socket.localPort}`
    })
    this.connected = new Promise((resolve) => this.socket.once("connect", resolve).once("close", () => resolve()))
    this.socket.on("data", (chunk: Buffer) => {
      if (this.bytes < 1024) this.text += chunk.toString("latin1", 0, 1024)
      this.bytes += chunk.length
      this.lastByteAt = performance.now()
    })
    this.end = new Promise((resolve) => {
      const onEnd = (cleanly: boolean): void => {
        if (this.endedAt !== undefined) return
        this.endedAt = performance.now()
        this.endedCleanly = cleanly
        resolve()
      }
      this.socket.once("end", () => onEnd(true))
      this.socket.on("error", () => onEnd(false))
      this.socket.once("close", () => onEnd(false))
    })
  }

  /** Sends, and waits for the answer. */
  async ask(request: string, answer: string): Promise<void> {
    this.socket.write(request)
    while (!this.text.endsWith(answer)) {
      if (this.endedAt !== undefined) throw new Error(`the connection ended before "${answer.trim()}"`)
      await Promise.race([new Promise((resolve) => this.socket.once("data", resolve)), this.end])
    }
  }

  /** From now on reads `rate` bytes a millisecond. */
  read(rate: number): void {
    const since = performance.now()
    let count = 0
    this.socket.on("data", (chunk: Buffer) => {
      count += chunk.length
      // what a busy machine makes late is caught up on
      const ahead = count / rate - (performance.now() - since)
      if (ahead <= 0) return
      this.socket.pause()
      setTimeout(() => this.socket.resume(), ahead)
    })
  }
}

const least = (times: ReadonlyArray<number | undefined>): number | undefined =>
  times.reduce((a, b) => a === undefined || (b !== undefined && b < a) ? b : a, undefined)

const greatest = (times: ReadonlyArray<number | undefined>): number | undefined =>
  times.reduce((a, b) => a === undefined || (b !== undefined && b > a) ? b : a, undefined)

/** One TLS client that connects again and again, each time with the session of the last time. */
import * as Tls from "node:tls"
import type { Supervisor } from "./workers.ts"

export class Sessions {
  connected = 0
  resumed = 0
  /** The processes that answered. */
  readonly answeredBy = new Set<number>()
  private readonly target: Supervisor["target"]
  private session: Buffer | undefined

  constructor(target: Supervisor["target"]) {
    this.target = target
  }

  /** Connects so often, asks one line each time, and waits for the end. */
  async connect(times: number): Promise<void> {
    for (let i = 0; i < times; i++) await this.once()
  }

  private once(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { session, target } = this
      const socket = Tls.connect({
        ..."path" in target ? {} : target,
        rejectUnauthorized: false,
        ...session === undefined ? {} : { session }
      })
      let ticket = false
      let answered = false
      // a new session is told by a ticket, which may come behind the answer; one that is resumed goes on
      const endIfDone = (): void => {
        if (answered && (ticket || socket.isSessionReused())) socket.end()
      }
      socket.on("secureConnect", () => {
        this.connected++
        if (socket.isSessionReused()) this.resumed++
        socket.write("?\n")
      })
      socket.on("session", (next) => {
        this.session = next
        ticket = true
        endIfDone()
      })
      socket.on("data", (data) => {
        this.answeredBy.add(Number(data.toString()))
        answered = true
        endIfDone()
      })
      socket.on("error", reject)
      socket.on("close", () => resolve())
    })
  }
}

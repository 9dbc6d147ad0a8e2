/**
 * Clients that never stop while a service is replaced, and what became of their
 * requests, counted by themselves.
 *
 * Half of them connect anew for each request, half keep their connection. A
 * request that is refused or lost is asked again until it is answered, as a
 * client does that needs the answer: how long that took is its wait.
 */
import * as Http from "node:http"
import { setTimeout as sleep } from "node:timers/promises"

export const clients = 16

/** Between an answer and the next request (ms), so that the machine is loaded and not exhausted. */
const pause = 5
/** A request without a whole answer for so long (ms) hangs. */
const patience = 5000

export interface Figures {
  readonly answered: number
  /** No connection was made: nothing listened. */
  readonly refused: number
  /** The connection was reset, or ended without an answer. */
  readonly reset: number
  /** No answer came in time. */
  readonly hung: number
  /** The longest time from a request to its answer, all attempts included (ms). */
  readonly longestWait: number
}

export interface Load {
  /** Stops the clients and answers what they saw. */
  readonly stop: () => Promise<Figures>
}

type Outcome = "answered" | "refused" | "reset" | "hung"

export const start = (port: number): Load => {
  const counts: Record<Outcome, number> = { answered: 0, refused: 0, reset: 0, hung: 0 }
  let longestWait = 0
  let stopping = false
  const run = async (agent: Http.Agent): Promise<void> => {
    while (!stopping) {
      const began = performance.now()
      for (let outcome: Outcome = "refused"; outcome !== "answered";) {
        outcome = await ask(port, agent)
        counts[outcome]++
        if (outcome !== "answered") await sleep(pause)
      }
      longestWait = Math.max(longestWait, performance.now() - began)
      await sleep(pause)
    }
    agent.destroy()
  }
  const running = Array.from(
    { length: clients },
    (_, i) => run(new Http.Agent({ keepAlive: i % 2 === 0, maxSockets: 1 }))
  )
  return {
    stop: async () => {
      stopping = true
      await Promise.all(running)
      return { ...counts, longestWait }
    }
  }
}

const ask = (port: number, agent: Http.Agent): Promise<Outcome> =>
  new Promise((resolve) => {
    const request = Http.get({ host: "127.0.0.1", port, agent, path: "/", timeout: patience }, (response) => {
      response.resume()
      response.once("close", () => resolve(response.complete && response.statusCode === 200 ? "answered" : "reset"))
    })
    request.once("timeout", () => {
      resolve("hung")
      request.destroy()
    })
    request.once(
      "error",
      (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED" ? "refused" : "reset")
    )
  })

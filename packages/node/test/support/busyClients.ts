/**
 * Clients that never stop: half of them connect anew for each request, half keep
 * their connection until they are told to go. They count what became of every
 * request, and which process answered.
 */
import * as RpcListener from "@effect-listener/core/RpcListener"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeWS from "@effect/platform-node/NodeWS"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as RpcClient from "effect/rpc/RpcClient"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Scope from "effect/Scope"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Https from "node:https"
import * as Net from "node:net"
import * as Timers from "node:timers/promises"
import * as Tls from "node:tls"
import { Counted } from "./rpcRestarts.ts"
import type { Kind, Supervisor } from "./workers.ts"

export interface Tally {
  answered: number
  /** Nothing listened. */
  refused: number
  /** The connection was reset. */
  reset: number
  /** The connection ended without an answer, and without the word that says the request was not executed. */
  unanswered: number
  /** No answer for a minute: not on the busiest machine does one take so long. */
  hung: number
  /**
   * The request was not executed, and may be asked again: the protocol said so, or, where it has no word for that,
   * a kept connection ended before it was read. That those were not executed is for the test to see.
   */
  readonly told: number
  /** How many requests each process answered. */
  readonly by: Map<number, number>
}

/** What was lost, in words; nothing when it is empty. */
export const lost = ({ hung, refused, reset, unanswered }: Tally): Record<string, number> =>
  Object.fromEntries(Object.entries({ refused, reset, unanswered, hung }).filter(([, count]) => count > 0))

type Failure = "refused" | "reset" | "unanswered" | "hung" | "told"

/** The process that answered, or why none did. */
type Outcome = number | Failure

interface Client {
  readonly ask: () => Promise<Outcome>
  readonly end: () => void
}

/** Where clients connect to, and how. */
type Target = Supervisor["target"]

const patience = 60_000

/** Starts the clients; the result stops them and answers what they saw. */
export const start = (
  kind: Kind,
  target: Target,
  options: { readonly clients?: number; readonly fresh?: "half" | "all"; readonly pause?: number } = {}
): Effect.Effect<Effect.Effect<Tally>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { clients = 16, fresh = "half", pause = 10 } = options
    const by = new Map<number, number>()
    const tally = { answered: 0, refused: 0, reset: 0, unanswered: 0, hung: 0, told: 0, by }
    let stopping = false
    const run = async (client: Client): Promise<void> => {
      while (!stopping) {
        const outcome = await client.ask()
        if (typeof outcome === "number") {
          tally.answered++
          by.set(outcome, (by.get(outcome) ?? 0) + 1)
        } else {
          tally[outcome]++
        }
        await Timers.setTimeout(pause)
      }
      client.end()
    }
    const make = makers[kind]
    const running = Array.from({ length: clients }, (_, i) => run(make(target, fresh === "all" || i % 2 === 0)))
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        stopping = true
      })
    )
    return Effect.promise(async () => {
      stopping = true
      await Promise.all(running)
      return tally
    })
  })

const refusals = new Set(["ECONNREFUSED", "ENOENT", "EAGAIN"])

const failureOf = (error: NodeJS.ErrnoException): Failure =>
  refusals.has(error.code ?? "") ? "refused" : error.message === "socket hang up" ? "unanswered" : "reset"

/** Answers once, and never later than the patience lasts. */
const within = (run: (settle: (outcome: Outcome) => void) => void): Promise<Outcome> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve("hung"), patience)
    run((outcome) => {
      clearTimeout(timer)
      resolve(outcome)
    })
  })

// --- HTTP/1 -------------------------------------------------------------------

const http1 = (secure: boolean) => (target: Target, fresh: boolean): Client => {
  const options = { keepAlive: !fresh, maxSockets: 1 }
  const agent = secure ? new Https.Agent({ ...options, rejectUnauthorized: false }) : new Http.Agent(options)
  const where = "path" in target ? { socketPath: target.path } : target
  return {
    end: () => agent.destroy(),
    ask: () =>
      within((settle) => {
        const request = (secure ? Https : Http).get({ ...where, agent, path: "/" }, (response) => {
          let text = ""
          response.on("data", (chunk) => text += String(chunk))
          response.on("close", () => settle(response.complete ? Number(text) : "unanswered"))
        })
        request.on("error", (error) => settle(failureOf(error)))
      })
  }
}

// --- HTTP/2 -------------------------------------------------------------------

/** RFC 9113, 8.7: a stream that ends with this code was not executed. */
const refusedStream = 7

const http2 = (target: Target, fresh: boolean): Client => {
  let session: Http2.ClientHttp2Session | undefined
  const connect = (): Http2.ClientHttp2Session => {
    const made = Http2.connect(`https://127.0.0.1:${"port" in target ? target.port : 0}`, { rejectUnauthorized: false })
    const forget = (): void => {
      if (session === made) session = undefined
    }
    made.on("goaway", forget)
    made.on("close", forget)
    made.on("error", forget)
    return made
  }
  return {
    end: () => session?.destroy(),
    ask: () =>
      within((settle) => {
        const used = session ??= connect()
        let over = false
        const end = (outcome: Outcome): void => {
          if (over) return
          over = true
          if (fresh) {
            session = undefined
            used.close()
          }
          settle(outcome)
        }
        used.once("error", (error) => end(failureOf(error)))
        let text = ""
        const stream = used.request({ ":path": "/" })
        stream.on("data", (chunk) => text += String(chunk))
        stream.on("error", (error: NodeJS.ErrnoException) =>
          end(
            stream.rstCode === refusedStream || error.code === "ERR_HTTP2_GOAWAY_SESSION" ? "told" : failureOf(error)
          ))
        stream.on("close", () =>
          end(stream.rstCode === refusedStream ? "told" : text === "" ? "unanswered" : Number(text)))
      })
  }
}

// --- WebSocket ----------------------------------------------------------------

const webSocket = (target: Target, fresh: boolean): Client => {
  let socket: NodeWS.WebSocket | undefined
  const connect = (): NodeWS.WebSocket => {
    const made = new NodeWS.WebSocket(`ws://127.0.0.1:${"port" in target ? target.port : 0}/ws`)
    // told between two requests: the next one is asked on a new connection
    made.on("close", () => {
      if (socket === made) socket = undefined
    })
    return made
  }
  return {
    end: () => socket?.terminate(),
    ask: () =>
      within((settle) => {
        const used = socket ??= connect()
        const over = (outcome: Outcome): void => {
          used.off("message", onMessage).off("close", onClose).off("error", onError).off(
            "unexpected-response",
            onResponse
          )
          used.on("error", () => {})
          if (fresh) {
            socket = undefined
            used.close()
          }
          settle(outcome)
        }
        const onMessage = (data: Buffer): void => over(Number(data.toString()))
        // 1001: going away; what was sent after it was not read
        const onClose = (code: number): void => over(code === 1001 ? "told" : "unanswered")
        const onError = (error: Error): void => over(failureOf(error))
        // the server drains, and has not begun to speak the protocol
        const onResponse = (_request: unknown, response: Http.IncomingMessage): void => {
          if (socket === used) socket = undefined
          over(response.statusCode === 503 ? "told" : "unanswered")
        }
        used.on("message", onMessage).on("close", onClose).on("error", onError).on("unexpected-response", onResponse)
        if (used.readyState === NodeWS.WebSocket.OPEN) used.send("?")
        else used.once("open", () => used.send("?"))
      })
  }
}

// --- lines --------------------------------------------------------------------

const lines = (connect: (target: Target) => Net.Socket) => (target: Target, fresh: boolean): Client => {
  let socket: Net.Socket | undefined
  return {
    end: () => socket?.destroy(),
    ask: () =>
      within((settle) => {
        let used = socket
        const kept = used !== undefined
        if (used === undefined) {
          const made = socket = used = connect(target)
          const forget = (): void => {
            if (socket === made) socket = undefined
          }
          made.on("end", forget).on("close", forget).on("error", forget)
        }
        const over = (outcome: Outcome): void => {
          used.off("data", onData).off("error", onError).off("close", onClose)
          if (fresh) {
            socket = undefined
            used.end()
          }
          settle(outcome)
        }
        let text = ""
        const onData = (chunk: Buffer): void => {
          text += chunk.toString()
          if (text.endsWith("\n")) over(Number(text))
        }
        const onError = (error: Error): void => over(failureOf(error))
        // lines have no word for a goodbye but the FIN, and a request may cross it
        const onClose = (): void => over(kept ? "told" : "unanswered")
        used.on("data", onData).on("error", onError).on("close", onClose)
        used.write("?\n")
      })
  }
}

const plain = (target: Target): Net.Socket => Net.connect("path" in target ? target : { ...target, noDelay: true })

const secure = (target: Target): Net.Socket =>
  Tls.connect({ ..."path" in target ? {} : target, rejectUnauthorized: false })

// --- RPC ----------------------------------------------------------------------

const rpc = (target: Target, fresh: boolean): Client => {
  const where = { port: "port" in target ? target.port : 0, host: "127.0.0.1" }
  const connect = Effect.flatMap(
    Layer.build(Layer.fresh(Layer.provide(
      RpcListener.layerClientProtocol({ servers: [NodeSocket.makeNet(where)] }),
      RpcSerialization.layerNdjson
    ))),
    (context) => Effect.provideContext(RpcClient.make(Counted), context)
  )
  const call = (client: RpcClient.FromGroup<typeof Counted, unknown>): Effect.Effect<Outcome> =>
    Effect.match(client.work({ id: 0, millis: 5 }), {
      onFailure: (): Outcome => "unanswered",
      onSuccess: (pid): Outcome => pid
    }).pipe(Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.succeed<Outcome>("hung") }))
  if (fresh) {
    return { end: () => {}, ask: () => Effect.runPromise(Effect.scoped(Effect.flatMap(connect, call))) }
  }
  const scope = Scope.makeUnsafe()
  const client = Effect.runPromise(Scope.provide(connect, scope))
  return {
    end: () => void Effect.runPromise(Scope.close(scope, Exit.void)),
    ask: async () => Effect.runPromise(call(await client))
  }
}

const makers: Record<Kind, (target: Target, fresh: boolean) => Client> = {
  http: http1(false),
  https: http1(true),
  http2,
  webSocket,
  tcp: lines(plain),
  tls: lines(secure),
  unix: lines(plain),
  rpc
}

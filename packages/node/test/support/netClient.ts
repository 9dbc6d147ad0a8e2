/** A client as most are: a `net.Socket` that answers the server's FIN with its own. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"

/** How a connection ended for its client: by a FIN, by an error such as `ECONNRESET`, or else it was `destroyed` here. */
export type Ending = "FIN" | (string & {})

export interface NetClient {
  readonly socket: Net.Socket
  readonly send: (text: string) => Effect.Effect<void>
  /** The next line, without its end; a defect when the connection is over before. */
  readonly line: Effect.Effect<string>
  /** Waits for the end of the connection. */
  readonly ending: Effect.Effect<Ending>
  /** Waits for it, with the lines that were not taken. */
  readonly rest: Effect.Effect<{ readonly lines: ReadonlyArray<string>; readonly ending: Ending }>
}

/** Connects, where the target is a port to one of this machine; a defect when that fails. The scope destroys the socket. */
export const connect = (target: Net.NetConnectOpts | number): Effect.Effect<NetClient, never, Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => Net.connect(typeof target === "number" ? { port: target, host: "127.0.0.1" } : target)),
      (socket) => Effect.sync(() => socket.destroy())
    ),
    (socket) => {
      const client = make(socket)
      return Effect.callback((resume) => {
        socket.once("connect", () => resume(Effect.succeed(client)))
        socket.once("error", (error) => resume(Effect.die(error)))
      })
    }
  )

/** Sends a line, and takes the next one that comes. */
export const ask = (client: NetClient, line: string): Effect.Effect<string> =>
  Effect.andThen(client.send(`${line}\n`), client.line)

/** What connecting fails with, such as `ECONNREFUSED`; nothing where a process listens. */
export const refusal = (target: Net.NetConnectOpts): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    const socket = Net.connect(target)
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.undefined)
    })
    socket.once("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code)))
  })

const make = (socket: Net.Socket): NetClient => {
  const over = Deferred.makeUnsafe<Ending>()
  let text = ""
  let failure: NodeJS.ErrnoException | undefined
  let ended = false
  let wake: (() => void) | undefined
  socket.setEncoding("utf8")
  socket.on("data", (chunk) => {
    text += chunk.toString()
    wake?.()
  })
  socket.on("end", () => {
    ended = true
  })
  socket.on("error", (error) => {
    failure = error
  })
  socket.on("close", () => {
    const ending = failure === undefined ? (ended ? "FIN" : "destroyed") : failure.code ?? failure.message
    Deferred.doneUnsafe(over, Effect.succeed(ending))
    wake?.()
  })
  const take = (): string | undefined => {
    const at = text.indexOf("\n")
    if (at < 0) return undefined
    const line = text.slice(0, at)
    text = text.slice(at + 1)
    return line
  }
  return {
    socket,
    send: (data) =>
      Effect.sync(() => {
        socket.write(data)
      }),
    line: Effect.callback((resume) => {
      const look = (): void => {
        const line = take()
        if (line === undefined && !socket.closed) return
        wake = undefined
        resume(
          line === undefined ? Effect.die(new Error(`no line but the end, after "${text}"`)) : Effect.succeed(line)
        )
      }
      wake = look
      look()
    }),
    ending: Deferred.await(over),
    rest: Effect.map(Deferred.await(over), (ending) => {
      const lines: Array<string> = []
      for (let line = take(); line !== undefined; line = take()) lines.push(line)
      return { lines, ending }
    })
  }
}

/**
 * Effect's RPC server on connections of a listener: each call is an exchange,
 * calls that come too late are refused, and clients are told.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { RpcSerialization } from "effect/rpc/RpcSerialization"
import type { Protocol } from "effect/rpc/RpcServer"
import * as Socket from "effect/socket/Socket"
import { CurrentConnection } from "../../Connection.ts"
import { implementationOf } from "../connection/connection.ts"
import { closeError, lostError } from "../util/socketErrors.ts"
import { Calls, CurrentCalls } from "./calls.ts"
import { makeDrainMessages } from "./goodbye.ts"

/** An RPC server whose connections drain by calls. */
export interface Draining {
  /** Runs what serves one connection; it is given a way to watch the connection's socket. */
  readonly serving: <A, E, R>(
    work: (watch: (socket: Socket.Socket) => Socket.Socket) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  /** Fails where it was the client that ended the connection; inside of `serving`, when all is done. */
  readonly ending: Effect.Effect<void, Socket.SocketError>
  readonly protocol: (protocol: Protocol["Service"]) => Protocol["Service"]
}

/** Effect's RPC server takes the loss of a client for a defect, other than its going. */
const gone = lostError()

export const make = (serialization: RpcSerialization["Service"]): Draining => {
  const drainMessages = makeDrainMessages(serialization.codecFor)
  const clients = new Map<number, Calls>()

  /**
   * Tells the client what becomes of its calls: with the last word, that those
   * which are not being executed never will be.
   */
  const tell = (calls: Calls, last: boolean): Effect.Effect<void> =>
    Effect.suspend(() => {
      const telling = last ? "goodbye" : "leaving"
      if (calls.writer === undefined || calls.told === "goodbye" || calls.told === telling) return Effect.void
      calls.told = telling
      const message = serialization.makeUnsafe().encode(
        drainMessages.goodbye(last ? { executing: calls.executing } : {})
      )
      // a client that is gone has nothing to be told
      return message === undefined ? Effect.void : Effect.ignore(calls.writer.write(message))
    })

  /** The drain has come: what has arrived is still executed, then nothing more is. */
  const settle = (calls: Calls): Effect.Effect<void> => {
    calls.step = "settling"
    return Effect.andThen(
      Effect.andThen(Effect.yieldNow, calls.connection.settled),
      Effect.suspend(() => {
        calls.step = "refusing"
        return tell(calls, true)
      })
    )
  }

  /** Draining comes to a connection at once, or after a lame duck, in which calls are welcome. */
  const announce = (calls: Calls): Effect.Effect<void> =>
    Effect.flatMap(calls.connection.draining, () => calls.connection.drainBegun ? settle(calls) : tell(calls, false))

  const watch = (calls: Calls, socket: Socket.Socket): Socket.Socket => {
    const over = Effect.andThen(tell(calls, true), Effect.fail(closeError("draining")))
    return Socket.make({
      reader: Effect.map(socket.reader, (reader) => {
        const pull = Effect.catch(reader.pull, (error) => {
          if (isOurs(error)) return Effect.andThen(tell(calls, true), Effect.fail(error))
          calls.ended = error
          // a client that was told to go has given up what it did not wait for
          return Effect.andThen(calls.told === undefined ? Effect.void : calls.finished, Effect.fail(gone))
        })
        return { ...reader, pull: Effect.suspend(() => calls.stopsReading ? over : pull) }
      }),
      writer: Effect.tap(socket.writer, (writer) => {
        calls.writer = writer
        return Effect.forkScoped(announce(calls), { startImmediately: true })
      })
    })
  }

  const serving: Draining["serving"] = (work) =>
    Effect.flatMap(CurrentConnection, (current) => {
      if (Option.isNone(current)) return work((socket) => socket)
      const connection = implementationOf(current.value)
      const calls = new Calls(connection)
      // what is in flight is said here, call by call
      if (connection.mode === "handler") connection.mode = "pull"
      return work((socket) => watch(calls, socket)).pipe(
        Effect.ensuring(Effect.sync(() => {
          if (calls.clientId !== undefined) clients.delete(calls.clientId)
        })),
        Effect.provideService(CurrentCalls, calls)
      )
    })

  const protocol: Draining["protocol"] = (protocol) => ({
    ...protocol,
    run: (receive) =>
      protocol.run((clientId, message) =>
        Effect.withFiber((fiber) => {
          const calls = Context.get(fiber.context, CurrentCalls)
          if (calls === undefined) return receive(clientId, message)
          if (calls.clientId === undefined) {
            calls.clientId = clientId
            clients.set(clientId, calls)
          }
          if (message._tag !== "Request") return receive(clientId, message)
          const { discard, id, isNotification, tag } = message
          // after a lame duck nothing else says that the drain has come
          if (calls.connection.drainBegun && calls.step === "executing") {
            Effect.runForkWith(fiber.context)(settle(calls))
          }
          if (calls.step === "refusing") {
            calls.refuse()
            const refuse = Effect.suspend(() => protocol.send(clientId, drainMessages.refusal(id)))
            // the last word first: a client that knows it needs no refusals
            return Effect.andThen(tell(calls, true), isNotification === true ? Effect.void : refuse)
          }
          if (isNotification !== true) calls.begin(id, `rpc ${tag}`, discard === true)
          return receive(clientId, message)
        })
      ),
    send: (clientId, response, transferables) => {
      const calls = clients.get(clientId)
      const sent = protocol.send(clientId, response, transferables)
      if (calls === undefined || (response._tag !== "Exit" && response._tag !== "Defect")) return sent
      return Effect.ensuring(
        sent,
        Effect.sync(() => {
          // a client forgets all its calls at a defect, so no other answer is owed
          if (response._tag === "Defect") calls.endAll()
          else calls.end(response.requestId)
        })
      )
    }
  })

  const ending = Effect.flatMap(
    CurrentCalls,
    (calls) => calls?.ended === undefined ? Effect.void : Effect.fail(calls.ended)
  )

  return { serving, ending, protocol }
}

/** We ended it, not the client. */
const isOurs = (error: Socket.SocketError): boolean =>
  error.reason._tag === "SocketCloseError" && error.reason.code === 1001

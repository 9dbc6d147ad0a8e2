/** The memory transport itself, in every order: what it loses or leaves would be lost by all that is explored over it. */
import { Transport } from "@effect-listener/core"
import { Interleavings, MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"

type Change = (transport: MemoryTransport.MemoryTransport) => Transport.Transport["bind"]

/** A program, and a transport broken in a way that it must find. */
interface Case {
  readonly program: (change?: Change) => Effect.Effect<void, unknown>
  readonly broken: Change
}

const unchanged: Change = (transport) => transport.bind

const linger: Transport.LingerOptions = { idle: Duration.millis(10), total: Duration.seconds(1), bytes: 1000 }

/** Binds, uses, unbinds; and nothing is left. */
const bound = (
  change: Change,
  options: MemoryTransport.Options,
  use: (
    transport: MemoryTransport.MemoryTransport,
    bound: Transport.BoundTransport,
    unbind: Effect.Effect<void>
  ) => Effect.Effect<void, unknown, Scope.Scope>
): Effect.Effect<void, unknown> =>
  Effect.scoped(Effect.gen(function*() {
    const transport = yield* MemoryTransport.make(options)
    const scope = yield* Scope.make()
    const unbind = Scope.close(scope, Exit.void)
    yield* use(transport, yield* Interleavings.atomic(Scope.provide(change(transport), scope)), unbind)
    yield* unbind
    const open = yield* transport.open
    if (open !== 0) return yield* Effect.die(new Error(`${open} sockets are left`))
  }))

/** To be restored inside an uninterruptible region: a fiber that has it has noted it. */
const noted = <A, E, R>(effect: Effect.Effect<A, E, R>, note: (value: A) => void): Effect.Effect<A, E, R> =>
  Effect.tap(effect, (value) => Effect.sync(() => note(value)))

const cases: { readonly [name: string]: Case } = {
  "an accept that is interrupted loses no connection": {
    program: (change = unchanged) =>
      bound(change, { resumeLate: true }, (transport, bound) =>
        Effect.gen(function*() {
          const taken: Array<Transport.TransportConnection> = []
          const take = Effect.uninterruptibleMask((restore) =>
            noted(restore(bound.accept), (connection) => taken.push(connection))
          )
          const taking = yield* Effect.forkChild(take)
          const client = yield* Effect.forkChild(transport.connect)
          yield* Fiber.interrupt(taking)
          yield* Fiber.join(client)
          if (taken.length === 0) yield* take
          for (const connection of taken) yield* connection.destroy
        })),
    broken: (transport) =>
      Effect.map(transport.bind, ({ accept, address, stop }) => ({
        address,
        accept: Effect.onInterrupt(accept, () => Effect.forkDetach(Effect.ignore(accept))),
        stop
      }))
  },

  "a pull that is interrupted loses no bytes": {
    program: (change = unchanged) =>
      bound(change, { bufferSize: 2 }, (transport, bound) =>
        Effect.gen(function*() {
          const client = yield* Interleavings.atomic(transport.connect)
          const connection = yield* bound.accept
          const { pull } = yield* connection.socket.reader
          let text = ""
          const read = Effect.uninterruptibleMask((restore) =>
            noted(restore(pull), (chunks) => {
              text += chunks.map((chunk) => typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk)).join(
                ""
              )
            })
          )
          const reading = yield* Effect.forkChild(read)
          const writing = yield* Effect.forkChild(Effect.andThen(client.write("abcd"), client.end))
          yield* Fiber.interrupt(reading)
          while (Exit.isSuccess(yield* Effect.exit(read)));
          yield* Fiber.join(writing)
          if (text !== "abcd") return yield* Effect.die(new Error(`read ${text}`))
          yield* connection.destroy
        })),
    broken: (transport) =>
      Effect.map(transport.bind, ({ accept, address, stop }) => ({
        address,
        accept: Effect.map(accept, (connection) =>
          Transport.wrapConnection(connection, {
            socket: Socket.make({
              reader: Effect.map(connection.socket.reader, (reader) => ({
                ...reader,
                pull: Effect.onInterrupt(reader.pull, () => Effect.forkDetach(Effect.ignore(reader.pull)))
              })),
              writer: connection.socket.writer
            })
          })),
        stop
      }))
  },

  "what was written before a goodbye arrives whole, and then the FIN": {
    program: (change = unchanged) =>
      bound(change, { bufferSize: 1 }, (transport, bound) =>
        Effect.gen(function*() {
          const client = yield* Interleavings.atomic(transport.connect)
          const connection = yield* bound.accept
          const reading = yield* Effect.forkChild(client.readAllText)
          const writer = yield* connection.socket.writer
          const writing = yield* Effect.forkChild(writer.write("abc"))
          yield* Effect.forkChild(client.end)
          yield* Fiber.join(writing)
          yield* connection.goodbye(linger)
          const text = yield* Fiber.join(reading)
          if (text !== "abc") return yield* Effect.die(new Error(`read ${text}`))
          const ended = yield* client.ended
          if (ended !== "Fin") return yield* Effect.die(new Error(`ended with a ${ended}`))
        })),
    broken: (transport) =>
      Effect.map(transport.bind, ({ accept, address, stop }) => ({
        address,
        accept: Effect.map(accept, (connection) =>
          Transport.wrapConnection(connection, { goodbye: () => connection.destroy })),
        stop
      }))
  },

  "a client that connects while it stops is refused, or accepted, or ended": {
    program: (change = unchanged) =>
      bound(change, {}, (transport, bound, unbind) =>
        Effect.gen(function*() {
          const client = yield* Effect.forkChild(Effect.option(transport.connect))
          const serving = yield* Effect.forkChild(
            Effect.ignore(Effect.forever(Effect.flatMap(bound.accept, (connection) => connection.goodbye("none"))))
          )
          yield* bound.stop
          yield* unbind
          const connected = yield* Fiber.join(client)
          yield* Fiber.join(serving)
          if (Option.isSome(connected)) yield* connected.value.ended
        })),
    broken: (transport) =>
      // goes on listening when it was unbound
      Effect.map(Scope.provide(transport.bind, Scope.makeUnsafe()), ({ accept, address }) => ({
        address,
        accept,
        stop: Effect.void
      }))
  },

  "a reset ends what waits, on both sides": {
    program: (change = unchanged) =>
      bound(change, { bufferSize: 1 }, (transport, bound) =>
        Effect.gen(function*() {
          const client = yield* Interleavings.atomic(transport.connect)
          const connection = yield* bound.accept
          const { pull } = yield* connection.socket.reader
          const writer = yield* connection.socket.writer
          const waiting = [
            yield* Effect.forkChild(Effect.exit(Effect.forever(pull))),
            yield* Effect.forkChild(Effect.exit(writer.write("abc"))),
            yield* Effect.forkChild(connection.goodbye(linger)),
            yield* Effect.forkChild(Effect.exit(Effect.forever(client.read)))
          ]
          yield* Effect.forkChild(client.reset)
          yield* connection.destroy
          yield* Fiber.awaitAll(waiting)
        })),
    broken: (transport) =>
      Effect.map(transport.bind, ({ accept, address, stop }) => ({
        address,
        accept: Effect.map(
          accept,
          (connection) => Transport.wrapConnection(connection, { destroy: Effect.void, goodbye: () => Effect.void })
        ),
        stop
      }))
  }
}

describe("MemoryTransport, whatever the order", () => {
  for (const [name, { broken, program }] of Object.entries(cases)) {
    it.live(name, () => Interleavings.check(program(), { maxSchedules: 3000 }))

    it.live(`${name}: a transport that breaks it is found`, () =>
      Effect.gen(function*() {
        const { finding } = yield* Interleavings.explore(program(broken), { maxSchedules: 3000 })
        assert.isTrue(Option.isSome(finding))
      }))
  }
})

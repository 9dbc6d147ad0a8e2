/**
 * Transports in memory, each broken on purpose in one way, and the law that says so.
 */
import { Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import type * as TransportLaws from "@effect-listener/testing/TransportLaws"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"

export interface BrokenTransport {
  readonly name: string
  readonly law: number
  /** The check that finds it, by its words. */
  readonly check: string
  readonly make: TransportLaws.MakeSubject
}

/** What is changed about a transport. */
interface Change {
  readonly options?: MemoryTransport.Options
  readonly bind?: (bind: Transport.Transport["bind"]) => Transport.Transport["bind"]
  readonly bound?: (bound: Transport.BoundTransport) => Partial<Transport.BoundTransport>
  readonly connection?: (
    connection: Transport.TransportConnection
  ) => Partial<Omit<Transport.TransportConnection, "fast">>
}

const subjectOf = (transport: MemoryTransport.MemoryTransport, bind: Transport.Transport["bind"]) => ({
  transport: { name: "broken", bind },
  connect: transport.connect,
  held: transport.open
})

const broken = (law: number, name: string, check: string, change: Change): BrokenTransport => ({
  law,
  name,
  check,
  make: Effect.map(MemoryTransport.make(change.options), (transport) => {
    const bind = Effect.map(transport.bind, (original) => {
      const { connection: changed } = change
      const bound = changed === undefined ? original : {
        ...original,
        accept: Effect.map(
          original.accept,
          (connection) => Transport.wrapConnection(connection, changed(connection))
        )
      }
      return { address: bound.address, accept: bound.accept, stop: bound.stop, ...change.bound?.(bound) }
    })
    return subjectOf(transport, change.bind === undefined ? bind : change.bind(bind))
  })
})

/**
 * A transport whose connections pass from the kernel into its queue one a turn, as they do with Node. What stop does
 * with those that are on the way is up to `stop`.
 */
const sweeping = (
  stop: (kernel: Transport.BoundTransport, moved: Effect.Effect<void>) => Effect.Effect<void>,
  transport: MemoryTransport.MemoryTransport
): TransportLaws.Subject =>
  subjectOf(
    transport,
    Effect.gen(function*() {
      const kernel = yield* transport.bind
      const queue = yield* Queue.unbounded<Transport.TransportConnection, Transport.TransportAcceptError>()
      const move = Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(kernel.accept), (connection) => Queue.offer(queue, connection))
      )
      yield* Effect.addFinalizer(() =>
        Effect.flatMap(Queue.clear(queue), (left) =>
          Effect.andThen(
            Effect.forEach(left, (connection) => connection.goodbye("none")),
            Queue.fail(
              queue,
              new Transport.TransportAcceptError({ class: "fatal", code: "EBADF", cause: "closed" })
            )
          )).pipe(Effect.ignore)
      )
      yield* Effect.forkScoped(Effect.ignore(Effect.forever(Effect.andThen(Effect.sleep(1), move))))
      const moved = Effect.repeat(Effect.sleep(1), {
        until: () => Effect.map(transport.queued, (queued) => queued === 0)
      })
      return {
        address: kernel.address,
        accept: Queue.take(queue),
        // the accept in hand takes a turn more
        stop: stop(kernel, Effect.andThen(Effect.asVoid(moved), Effect.sleep(2)))
      }
    })
  )

/** The same, unbroken: what the broken ones differ from. */
export const sweepingWell: TransportLaws.MakeSubject = Effect.map(
  MemoryTransport.make(),
  (transport) => sweeping((kernel, moved) => Effect.andThen(moved, kernel.stop), transport)
)

const readerOf = (
  connection: Transport.TransportConnection,
  change: (pull: Socket.Reader["pull"]) => Socket.Reader["pull"]
): Pick<Transport.TransportConnection, "socket"> => ({
  socket: Socket.make({
    reader: Effect.map(connection.socket.reader, (reader) => ({ ...reader, pull: change(reader.pull) })),
    writer: connection.socket.writer
  })
})

const isEnd = (error: Socket.SocketError): boolean =>
  error.reason._tag === "SocketCloseError" && error.reason.code === 1000

const forEver: Transport.LingerOptions = { idle: Duration.infinity, total: Duration.infinity, bytes: Infinity }

export const brokenTransports: ReadonlyArray<BrokenTransport> = [
  // --- law 1
  broken(1, "loses the connection of an interrupted accept", "an interrupted accept loses no connection", {
    bound: ({ accept }) => ({ accept: Effect.onInterrupt(accept, () => Effect.forkDetach(Effect.ignore(accept))) })
  }),
  broken(1, "waits a turn for a connection that is queued", "completes synchronously while connections are queued", {
    bound: ({ accept }) => ({ accept: Effect.andThen(Effect.yieldNow, accept) })
  }),
  {
    law: 1,
    name: "resolves stop before the accept queue is swept",
    check: "stop completes when all that was queued has been handed over",
    make: Effect.map(MemoryTransport.make(), (transport) => sweeping((kernel) => kernel.stop, transport))
  },
  {
    law: 1,
    name: "resets queued clients when it stops",
    check: "a client that is queued when close begins is served",
    make: Effect.map(MemoryTransport.make(), (transport) =>
      sweeping(() =>
        transport.fault(
          new Transport.TransportAcceptError({ class: "fatal", code: "EBADF", cause: "stopped" })
        ), transport))
  },
  // --- law 2
  broken(2, "drops buffered bytes when reading is ended", "endReading ends nothing while bytes are buffered", {
    connection: (connection) => {
      let ended: Socket.SocketError | undefined
      return {
        ...readerOf(connection, (pull) => Effect.suspend(() => ended === undefined ? pull : Effect.fail(ended))),
        endReading: (error) => {
          ended = error
          connection.endReading(error)
          return true
        }
      }
    }
  }),
  broken(2, "says it has settled at once", "settled completes when what had arrived has been given", {
    options: { readLate: true },
    connection: () => ({ settled: Effect.void })
  }),
  broken(2, "loses the bytes of an interrupted pull", "an interrupted pull loses no bytes", {
    connection: (connection) =>
      readerOf(connection, (pull) => Effect.onInterrupt(pull, () => Effect.forkDetach(Effect.ignore(pull))))
  }),
  broken(2, "ends both sides when the client ends its own", "a client that ends its side after its request", {
    connection: (connection) =>
      readerOf(
        connection,
        (pull) => Effect.tapError(pull, (error) => isEnd(error) ? connection.goodbye("none") : Effect.void)
      )
  }),
  // --- law 3
  broken(3, "cuts the flush", "goodbye completes when the kernel has the last byte", {
    connection: (connection) => ({ goodbye: () => Effect.andThen(Effect.sleep(1), connection.destroy) })
  }),
  broken(3, "does not wait for the flush", "goodbye completes when the kernel has the last byte", {
    connection: (connection) => ({
      goodbye: (linger) => Effect.asVoid(Effect.forkDetach(connection.goodbye(linger)))
    })
  }),
  broken(3, "does not linger", "a client that is still sending gets the answer", {
    connection: (connection) => ({ goodbye: () => connection.goodbye("none") })
  }),
  broken(3, "never sends the FIN", "goodbye ends with a FIN", {
    connection: (connection) => ({
      goodbye: () =>
        Effect.repeat(Effect.sleep(1), { until: () => connection.bytesPending() === 0 }).pipe(Effect.asVoid)
    })
  }),
  broken(3, "reports no pending bytes", "bytesPending counts what the kernel has not taken", {
    connection: () => ({ bytesPending: () => 0 })
  }),
  broken(3, "reports all bytes as pending for ever", "bytesPending counts what the kernel has not taken", {
    connection: (connection) => ({ bytesPending: () => connection.fast?.bytesOut() ?? 0 })
  }),
  // --- law 4
  broken(4, "leaks the address", "closing the scope of bind stops listening", {
    bind: (bind) => Scope.provide(bind, Scope.makeUnsafe())
  }),
  broken(4, "goes on listening after stop", "after stop no client can connect", {
    bound: () => ({ stop: Effect.void })
  }),
  broken(4, "leaks what is destroyed", "destroy releases", {
    connection: () => ({ destroy: Effect.void })
  }),
  broken(4, "leaks when a goodbye is interrupted", "a goodbye that is interrupted releases", {
    connection: (connection) => ({
      goodbye: (linger) => Effect.flatMap(Effect.forkDetach(connection.goodbye(linger)), Fiber.join)
    })
  }),
  broken(4, "never ends an accept that waits", "an accept that waits fails when the listening socket is closed", {
    bound: ({ accept }) => ({
      accept: Effect.catch(accept, (error) => error.class === "fatal" ? Effect.never : Effect.fail(error))
    })
  }),
  // --- law 5
  broken(5, "does not let an accept be interrupted", "an accept can be interrupted", {
    bound: ({ accept }) => ({ accept: Effect.uninterruptible(accept) })
  }),
  broken(5, "lingers without bounds", "goodbye waits for a silent client for linger.idle", {
    connection: (connection) => ({
      goodbye: (linger) => connection.goodbye(linger === "none" ? linger : forEver)
    })
  }),
  broken(5, "waits for the flush when it destroys", "destroy cuts a goodbye short", {
    connection: (connection) => ({ destroy: connection.goodbye("none") })
  }),
  // --- law 6
  broken(6, "leaves a pull waiting when reading is ended", "endReading ends a pull that waits", {
    connection: () => ({ endReading: () => true })
  }),
  broken(6, "never settles", "settled does not wait for bytes", {
    connection: () => ({ settled: Effect.never })
  }),
  broken(6, "does not notice that a client has gone", "a client that has gone is noticed though nothing is read", {
    connection: () => ({ watchDeparture: () => () => {} })
  }),
  broken(6, "takes a client that ended its side for gone", "a client that has gone is noticed though nothing is read", {
    connection: (connection) => ({ watchDeparture: (gone) => connection.watchDeparture?.(gone, false) ?? (() => {}) })
  }),
  broken(6, "lingers for a client that has ended", "goodbye does not wait for a client that has ended its side", {
    connection: (connection) => ({
      goodbye: (linger) =>
        Effect.andThen(connection.goodbye(linger), linger === "none" ? Effect.void : Effect.sleep(linger.idle))
    })
  }),
  broken(6, "waits for a client before it stops", "stop does not wait where nothing is queued", {
    bound: ({ accept, stop }) => ({ stop: Effect.andThen(Effect.ignore(accept), stop) })
  }),
  // --- law 7
  broken(7, "dies when the address is taken", "binding an address that is taken fails with a tag", {
    bind: (bind) => Effect.catch(bind, (error) => Effect.die(new Error(`EADDRINUSE ${error._tag}`)))
  }),
  broken(7, "tells the client's end as a failure", "the client's end fails the pull with code 1000", {
    connection: (connection) =>
      readerOf(connection, (pull) =>
        Effect.mapError(pull, (error) =>
          isEnd(error)
            ? new Socket.SocketError({ reason: new Socket.SocketReadError({ cause: new Error("end of file") }) })
            : error))
  }),
  broken(7, "fails reads with an error that is none of a socket's", "a client that goes away fails reads and writes", {
    connection: (connection) =>
      // what an untyped callback would pass on
      readerOf(connection, (pull) =>
        Effect.mapError(pull, () => new Error("ECONNRESET") as unknown as Socket.SocketError))
  }),
  broken(7, "dies in an accept after it was closed", "an accept after the listening socket was closed fails", {
    bound: ({ accept }) => ({
      accept: Effect.catch(accept, (error) => error.class === "fatal" ? Effect.die(error) : Effect.fail(error))
    })
  })
]

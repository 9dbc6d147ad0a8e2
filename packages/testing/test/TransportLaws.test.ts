import { MemoryTransport } from "@effect-listener/testing"
import * as TransportLaws from "@effect-listener/testing/TransportLaws"
import { Effect } from "effect"

const memory = (options?: MemoryTransport.Options): TransportLaws.MakeSubject =>
  Effect.map(
    Effect.all([MemoryTransport.make(options), MemoryTransport.make({ ...options, held: true })]),
    ([transport, holder]) => ({
      transport,
      connect: transport.connect,
      held: transport.open,
      holder: { transport: holder, connect: holder.connect }
    })
  )

// most of their time passes in waiting
const options = { concurrent: true }

TransportLaws.suite("memory", memory(), options)
TransportLaws.suite(
  "memory that hands over and reads as late as sockets do",
  memory({ resumeLate: true, readLate: true }),
  options
)
TransportLaws.suite(
  "memory with a handshake and small buffers",
  memory({ handshake: Effect.yieldNow, bufferSize: 1024 }),
  options
)

import { MemoryTransport } from "@effect-listener/testing"
import * as TransportLaws from "@effect-listener/testing/TransportLaws"
import { Effect } from "effect"

const memory = (options?: MemoryTransport.Options): TransportLaws.MakeSubject =>
  Effect.map(MemoryTransport.make(options), (transport) => ({
    transport,
    connect: transport.connect,
    held: transport.open
  }))

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

import { type MemoryDatagrams, MemoryTransport } from "@effect-listener/testing"
import * as DatagramLaws from "@effect-listener/testing/DatagramLaws"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

const memory = (
  change: (transport: MemoryDatagrams.MemoryDatagrams) => DatagramLaws.Subject["transport"] = (transport) => transport
): DatagramLaws.MakeSubject =>
  Effect.map(MemoryTransport.datagrams(), (transport) => ({
    transport: change(transport),
    client: transport.client,
    held: transport.open,
    largest: 65_507,
    tooLarge: 65_508
  }))

DatagramLaws.suite("datagrams in memory", memory(), { concurrent: true })

type Bound = Effect.Success<MemoryDatagrams.MemoryDatagrams["bind"]>
type Arrive = Parameters<Bound["receiveAll"]>[0]

/** A transport whose socket is changed in one way once it is bound. */
const changing = (change: (bound: Bound) => Partial<Bound>) =>
  memory((transport) => ({
    name: "broken",
    bind: Effect.map(transport.bind, (bound) => ({
      address: bound.address,
      receiveAll: bound.receiveAll,
      stop: bound.stop,
      dropped: bound.dropped,
      ...change(bound)
    }))
  }))

const brokenTransports: ReadonlyArray<readonly [name: string, law: number, check: string, DatagramLaws.MakeSubject]> = [
  [
    "stops without a sweep",
    1,
    "every datagram that waits",
    changing((bound) => ({ stop: bound.leave ?? Effect.void }))
  ],
  [
    "hands over the latest first",
    1,
    "in the order in which they came",
    changing((bound) => ({
      receiveAll: (arrive) => bound.receiveAll(reversed(arrive))
    }))
  ],
  [
    "closes when it has stopped",
    2,
    "sending goes on after stop",
    memory((transport) => ({
      name: "broken",
      bind: Effect.gen(function*() {
        let stopped = false
        const bound = yield* transport.bind
        return {
          address: bound.address,
          dropped: bound.dropped,
          receiveAll: (arrive) =>
            bound.receiveAll((datagram) =>
              arrive({ ...datagram, send: (payload, done) => stopped ? done(undefined) : datagram.send(payload, done) })
            ),
          stop: Effect.andThen(
            bound.stop,
            Effect.sync(() => {
              stopped = true
            })
          )
        }
      })
    }))
  ],
  [
    "sends but the first 1,000 bytes",
    3,
    "whatever its length",
    changing((bound) => ({
      receiveAll: (arrive) =>
        bound.receiveAll((datagram) =>
          arrive({ ...datagram, send: (payload, done) => datagram.send(payload.subarray(0, 1000), done) })
        )
    }))
  ],
  [
    "keeps its address",
    4,
    "after a close the address is free",
    memory((transport) => {
      let bound = false
      return {
        name: "broken",
        bind: Effect.suspend(() => {
          if (bound) return Effect.die("the address is taken")
          bound = true
          return transport.bind
        })
      }
    })
  ],
  [
    "says of what is too large that it was sent",
    7,
    "too large",
    changing((bound) => ({
      receiveAll: (arrive) =>
        bound.receiveAll((datagram) =>
          arrive({ ...datagram, send: (payload, done) => datagram.send(payload, () => done(undefined)) })
        )
    }))
  ]
]

/** Gives what comes in reverse, two by two. */
function reversed(arrive: Arrive): Arrive {
  let held: Parameters<Arrive>[0] | undefined
  return (datagram) => {
    const first = held
    held = first === undefined ? datagram : undefined
    if (first === undefined) return
    arrive(datagram)
    arrive(first)
  }
}

describe("a broken transport breaks the law that names it", { concurrent: true }, () => {
  for (const [name, law, check, make] of brokenTransports) {
    it.live(`law ${law}: ${name}`, () =>
      Effect.gen(function*() {
        const found = yield* Effect.forEach(
          DatagramLaws.checks.filter((check) => check.law === law),
          (check) => Effect.flip(check.run(make, { timeout: 6000 })).pipe(Effect.option),
          { concurrency: "unbounded" }
        )
        const broken = found.flatMap((one) => one._tag === "Some" ? [one.value] : [])
        assert.include(
          broken.map(({ name }) => name).join("\n"),
          check,
          broken.map(({ message }) => message).join("\n")
        )
      }))
  }
})

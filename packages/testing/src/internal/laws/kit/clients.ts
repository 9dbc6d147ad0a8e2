/**
 * Clients of the transport that is looked at.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { concat, decode, encode } from "../../util/bytes.ts"
import type { Client, Subject } from "../subject.ts"
import { Broken, describe, ensure, many, orBroken, within } from "./expect.ts"

/** A client, and what was read of it and not yet taken. */
export interface Peer {
  readonly write: (data: string | Uint8Array) => Effect.Effect<void, Broken>
  readonly end: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
  /** The next bytes, so many of them. */
  readonly take: (bytes: number) => Effect.Effect<Uint8Array, Broken>
  /** The next line, without its end. */
  readonly line: Effect.Effect<string, Broken>
  /** Everything until the server's end, and what that was. */
  readonly rest: Effect.Effect<{ readonly bytes: Uint8Array; readonly how: "Fin" | "Reset" }>
}

export const connect = (subject: Subject): Effect.Effect<Peer, Broken, Scope.Scope> =>
  Effect.map(within("connecting", orBroken(subject.connect, "connecting")), peerOf)

const peerOf = (client: Client): Peer => {
  let pending: Uint8Array = new Uint8Array(0)
  const more = Effect.map(client.read, (bytes) => {
    pending = concat([pending, bytes])
  })
  const split = (at: number): Uint8Array => {
    const first = pending.subarray(0, at)
    pending = pending.subarray(at)
    return first
  }
  const ended = (what: string) => (error: unknown) =>
    new Broken({
      detail: `${what}, but the connection ended: ${describe(error)}, after "${decode(pending).slice(0, 80)}"`
    })
  return {
    write: (data) => orBroken(client.write(typeof data === "string" ? encode(data) : data), "a client's write"),
    end: client.end,
    reset: client.reset,
    take: (bytes) =>
      Effect.gen(function*() {
        const chunks = [pending]
        let size = pending.length
        pending = new Uint8Array(0)
        while (size < bytes) {
          const chunk = yield* Effect.mapError(client.read, ended(`${size} of ${bytes} bytes had come`))
          chunks.push(chunk)
          size += chunk.length
        }
        pending = concat(chunks)
        return split(bytes)
      }),
    line: Effect.gen(function*() {
      while (!pending.includes(10)) yield* Effect.mapError(more, ended("a line was to come"))
      const line = decode(split(pending.indexOf(10)))
      split(1)
      return line
    }),
    rest: Effect.gen(function*() {
      const chunks = [pending]
      pending = new Uint8Array(0)
      while (true) {
        const next = yield* Effect.option(client.read)
        if (Option.isNone(next)) break
        chunks.push(next.value)
      }
      return { bytes: concat(chunks), how: yield* client.ended }
    })
  }
}

/** Clients in the accept queue. */
export const fill = (subject: Subject, clients: number): Effect.Effect<ReadonlyArray<Peer>, Broken, Scope.Scope> =>
  Effect.map(
    within(
      "connecting",
      orBroken(subject.fill === undefined ? many(clients, () => subject.connect) : subject.fill(clients), "connecting")
    ),
    (clients) => clients.map(peerOf)
  )

/** The answer to a line. */
export const ask = (peer: Peer, line: string): Effect.Effect<string, Broken> =>
  within(`the answer to "${line}"`, Effect.andThen(peer.write(`${line}\n`), peer.line))

/** The server's end comes, and is a FIN. */
export const ensureFin = (peer: Peer, what: string): Effect.Effect<Uint8Array, Broken> =>
  Effect.flatMap(
    within(`${what}: the end`, peer.rest),
    ({ bytes, how }) => Effect.as(ensure(how === "Fin", `${what} was reset`), bytes)
  )

/** The connection is cut: reset where the transport can, else ended. */
export const ensureCut = (subject: Subject, peer: Peer, what: string): Effect.Effect<Uint8Array, Broken> =>
  Effect.flatMap(
    within(`${what}: the end`, peer.rest),
    ({ bytes, how }) =>
      Effect.as(ensure(how === "Reset" || subject.resets === false, `${what} was ended with a FIN`), bytes)
  )

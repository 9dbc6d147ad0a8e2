/**
 * What is asked and answered in a soak: a request has a number, how long its
 * answer takes and how many bytes it has. By lines, or by HTTP.
 */
import type { Connection } from "@effect-listener/core/Connection"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import type * as BadClients from "@effect-listener/testing/BadClients"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { hostile, type HostileClient } from "./hostile.ts"

export interface Request {
  readonly id: number
  readonly millis: number
  readonly bytes: number
}

/** Told of each request that is begun, with the number of its connection. */
export type Executed = (id: number, connection: number) => void

export interface Protocol {
  readonly request: (request: Request) => string
  /** Reads the whole answer; says whether the connection can be asked again. */
  readonly answer: (reader: Reader, request: Request) => Effect.Effect<boolean, unknown>
  readonly idle: "pull" | "exchange"
  /** What clients send that mean harm, beside what bad clients do over any protocol. */
  readonly hostile: ReadonlyArray<HostileClient>
  readonly handler: (
    executed: Executed
  ) => Effect.Effect<(connection: Connection) => Effect.Effect<unknown, unknown, Scope.Scope>, never, Scope.Scope>
}

const body = (request: Request): Buffer => Buffer.alloc(request.bytes, 97 + request.id % 26)

const isBody = (bytes: Uint8Array, request: Request): boolean => body(request).equals(bytes)

/** Reads a client's bytes up to a mark, or a number of them. */
export class Reader {
  readonly #client: BadClients.Client
  #pending: Uint8Array = new Uint8Array(0)

  constructor(client: BadClients.Client) {
    this.#client = client
  }

  get #more(): Effect.Effect<void, BadClients.ConnectionEnded> {
    return Effect.map(this.#client.read, (bytes) => {
      this.#pending = Buffer.concat([this.#pending, bytes])
    })
  }

  until(mark: string): Effect.Effect<string, BadClients.ConnectionEnded> {
    return Effect.gen({ self: this }, function*() {
      while (Buffer.from(this.#pending).indexOf(mark) < 0) yield* this.#more
      const text = Buffer.from(this.#pending)
      const at = text.indexOf(mark)
      this.#pending = this.#pending.subarray(at + mark.length)
      return text.toString("latin1", 0, at)
    })
  }

  take(bytes: number): Effect.Effect<Uint8Array, BadClients.ConnectionEnded> {
    return Effect.gen({ self: this }, function*() {
      const chunks = [this.#pending]
      let size = this.#pending.length
      while (size < bytes) {
        const chunk = yield* this.#client.read
        chunks.push(chunk)
        size += chunk.length
      }
      const all = Buffer.concat(chunks)
      this.#pending = all.subarray(bytes)
      return all.subarray(0, bytes)
    })
  }
}

const wrong = (request: Request) => Effect.fail(new Error(`a wrong answer to request ${request.id}`))

/** A line each, answered by the number and the bytes. */
export const lines: Protocol = {
  request: ({ bytes, id, millis }) => `${id} ${millis} ${bytes}\n`,
  answer: (reader, request) =>
    Effect.gen(function*() {
      const head = yield* reader.until("\n")
      const bytes = yield* reader.take(request.bytes)
      return head === String(request.id) && isBody(bytes, request) ? true : yield* wrong(request)
    }),
  idle: "pull",
  hostile: [],
  handler: (executed) =>
    Effect.succeed(Effect.fnUntraced(function*(connection: Connection) {
      const pull = yield* Socket.readerString(connection.socket)
      const writer = yield* connection.socket.writer
      let text = ""
      let endExchange: (() => void) | undefined
      while (true) {
        text += (yield* pull).join("")
        while (text !== "") {
          endExchange ??= connection.beginExchange(text.split("\n", 1)[0] ?? "")
          const at = text.indexOf("\n")
          if (at < 0) break
          const [id = 0, millis = 0, bytes = 0] = text.slice(0, at).split(" ").map(Number)
          text = text.slice(at + 1)
          executed(id, connection.id)
          yield* Effect.sleep(millis)
          yield* writer.writeAll([`${id}\n`, body({ id, millis, bytes })])
          endExchange()
          endExchange = undefined
        }
      }
    }))
}

/** A GET each. */
export const http: Protocol = {
  request: ({ bytes, id, millis }) =>
    `GET /?id=${id}&millis=${millis}&bytes=${bytes} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
  answer: (reader, request) =>
    Effect.gen(function*() {
      const head = (yield* reader.until("\r\n\r\n")).toLowerCase()
      if (!head.startsWith("http/1.1 200 ")) return yield* wrong(request)
      const length = Number(/content-length: (\d+)/.exec(head)?.[1])
      const bytes = yield* reader.take(length)
      if (!isBody(bytes, request)) return yield* wrong(request)
      return !head.includes("connection: close")
    }),
  idle: "exchange",
  hostile,
  handler: (executed) =>
    NodeHttp.handler(Effect.gen(function*() {
      const { url } = yield* HttpServerRequest.HttpServerRequest
      const query = new URL(url, "http://localhost").searchParams
      const number = (name: string) => Number(query.get(name) ?? 0)
      const request = { id: number("id"), millis: number("millis"), bytes: number("bytes") }
      const connection = yield* NodeHttp.connection
      if (Option.isSome(connection)) executed(request.id, connection.value.id)
      yield* Effect.sleep(request.millis)
      return HttpServerResponse.uint8Array(body(request))
    }))
}

/**
 * What the DNS example knows, and how it answers a query.
 *
 * `one.test` has the address 192.0.2.1. A TXT query for `sleep-<ms>.test` is
 * answered after so many milliseconds, one for `block-<ms>.test` after the event
 * loop was held for as long, which stderr says before. There are no other names.
 */
import * as Dns from "dns-packet"
import * as Effect from "effect/Effect"

/** Codes of RFC 1035 §4.1.1. */
const formatError = 1
const nameError = 3
const notImplemented = 4

/** Of a message: 12 bytes, in which the highest bit of the third says that it is a response. */
const headerLength = 12
const isResponse = (message: Uint8Array): boolean => (message[2]! & 0x80) !== 0
const opcode = (message: Uint8Array): number => (message[2]! >> 3) & 15

/** How long an answer may be put off, in milliseconds. */
const longest = 600_000

/**
 * The response to a message; none to what is no query: a response to a response
 * would go back and forth for ever.
 */
export const respond = (message: Uint8Array): Effect.Effect<Uint8Array | undefined> => {
  if (message.length < headerLength || isResponse(message)) return Effect.undefined
  if (opcode(message) !== 0) return Effect.succeed(refusal(message, notImplemented))
  const query = decode(message)
  const [question, ...others] = query?.questions ?? []
  return query === undefined || question === undefined || others.length > 0
    ? Effect.succeed(refusal(message, formatError))
    : Effect.map(answer(question), (found) => encode(response(query, question, found)) ?? refusal(message, formatError))
}

/** What a message asks, for people. */
export const describe = (message: Uint8Array): string => {
  const question = decode(message)?.questions?.[0]
  return question === undefined ? "malformed query" : `${question.type} ${question.name}`
}

/** What there is of a name; `undefined` where there is no such name. */
const answer = ({ name, type }: Dns.Question): Effect.Effect<ReadonlyArray<Dns.Answer> | undefined> => {
  const known = name.toLowerCase()
  if (known === "one.test") {
    return Effect.succeed(type === "A" ? [{ type, name, ttl: 60, data: "192.0.2.1" }] : [])
  }
  const [, how, digits] = /^(sleep|block)-(\d{1,6})\.test$/.exec(known) ?? []
  const millis = Number(digits)
  if (how === undefined || millis > longest) return Effect.undefined
  if (type !== "TXT") return Effect.succeed([])
  const wait = how === "sleep" ? Effect.sleep(millis) : Effect.sync(() => holdEventLoop(millis))
  return Effect.as(wait, [{ type: "TXT", name, ttl: 0, data: `${how === "sleep" ? "slept" : "blocked"} ${millis}` }])
}

const holdEventLoop = (millis: number): void => {
  process.stderr.write(`blocking for ${millis} ms\n`)
  const end = performance.now() + millis
  while (performance.now() < end);
}

const response = (
  query: Dns.DecodedPacket,
  question: Dns.Question,
  answers: ReadonlyArray<Dns.Answer> | undefined
): Dns.Packet => ({
  type: "response",
  id: query.id ?? 0,
  flags: Dns.AUTHORITATIVE_ANSWER | recursionDesired(query) | (answers === undefined ? nameError : 0),
  questions: [question],
  answers: [...answers ?? []]
})

/** A name may have come that cannot be said again. */
const encode = (packet: Dns.Packet): Uint8Array | undefined => {
  try {
    return Dns.encode(packet)
  } catch {
    return undefined
  }
}

/** What the query says of it is said again. */
const recursionDesired = (query: Dns.DecodedPacket): number => query.flag_rd ? Dns.RECURSION_DESIRED : 0

/** The header of a query made one of a response, with nothing after it. */
const refusal = (message: Uint8Array, code: number): Uint8Array => {
  const header = new Uint8Array(headerLength)
  header.set(message.subarray(0, 2))
  // a response to the same kind of query, and what it says of recursion
  header[2] = 0x80 | (message[2]! & 0x79)
  header[3] = code
  return header
}

const decode = (message: Uint8Array): Dns.DecodedPacket | undefined => {
  try {
    return Dns.decode(Buffer.from(message.buffer, message.byteOffset, message.byteLength))
  } catch {
    return undefined
  }
}

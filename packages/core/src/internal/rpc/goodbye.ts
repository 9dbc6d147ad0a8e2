/**
 * What the two halves say to each other beyond Effect's own RPC protocol. Both
 * words are made so that they do not disturb clients that do not know them.
 */
import * as Exit from "effect/Exit"
import type { FromServerEncoded, RequestEncoded, ResponseExitEncoded } from "effect/rpc/RpcMessage"
import type { CodecFor } from "effect/rpc/RpcSerialization"
import * as Schema from "effect/Schema"

/** Names one call of a client. */
export type CallId = string | number

/** The defect of a call that was not executed; plain, because Effect's defects keep no tag of an error. */
export interface CallRefused {
  readonly _tag: "CallRefused"
}

const callRefused: CallRefused = { _tag: "CallRefused" }

const tag = "@effect-listener/core/RpcListener/Goodbye"

/**
 * Said to clients of a server that goes away.
 *
 * `executing` absent: calls are still executed here, and better sent elsewhere.
 * Present: the calls named are being executed and will be answered. All others
 * that are not answered yet never were and never will be.
 */
const Goodbye = Schema.Struct({
  executing: Schema.optionalKey(Schema.Array(Schema.Union([Schema.String, Schema.Number])))
})

export interface Goodbye {
  readonly executing?: ReadonlyArray<CallId>
}

/** What can be said in one encoding of messages. */
export interface DrainMessages {
  /** A server's notification, which Effect's own client ignores. */
  readonly goodbye: (goodbye: Goodbye) => RequestEncoded
  readonly readGoodbye: (message: FromServerEncoded) => Goodbye | undefined
  readonly refusal: (requestId: CallId) => ResponseExitEncoded
  readonly isRefusal: (exit: ResponseExitEncoded["exit"]) => boolean
  /** The exit of a call from the defect that ends all calls of its client. */
  readonly exitOfDefect: (defect: unknown) => ResponseExitEncoded["exit"]
}

export const makeDrainMessages = (codecFor: CodecFor): DrainMessages => {
  const goodbyeCodec = codecFor(Goodbye)
  const encodeGoodbye = Schema.encodeSync(goodbyeCodec)
  const decodeGoodbye = Schema.decodeUnknownSync(goodbyeCodec)
  // as Effect's own server answers calls whose schemas it does not know
  const encodeExit = Schema.encodeSync(codecFor(Schema.Exit(Schema.Never, Schema.Never, Schema.Defect())))
  const decodeDefect = Schema.decodeUnknownSync(codecFor(Schema.Defect()))
  // what a codec makes of an exit is, by its contract, what the envelope of an exit takes
  const dies = (defect: unknown) => encodeExit(Exit.die(defect)) as ResponseExitEncoded["exit"]
  const refused = dies(callRefused)
  return {
    goodbye: (goodbye) => ({
      _tag: "Request",
      id: "",
      tag,
      payload: encodeGoodbye(goodbye),
      headers: [],
      isNotification: true
    }),
    readGoodbye: (message) =>
      message._tag === "Request" && message.tag === tag ? decodeGoodbye(message.payload) : undefined,
    refusal: (requestId) => ({ _tag: "Exit", requestId, exit: refused }),
    isRefusal: comparison(refused),
    exitOfDefect: (defect) => dies(decodeDefect(defect))
  }
}

/** Exits are bytes in some encodings, and what JSON can hold in the others. */
const comparison = (refused: unknown): (exit: ResponseExitEncoded["exit"]) => boolean => {
  if (refused instanceof Uint8Array) return (exit) => exit instanceof Uint8Array && sameBytes(exit, refused)
  const text = JSON.stringify(refused)
  return (exit) => exit._tag === "Failure" && JSON.stringify(exit) === text
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])

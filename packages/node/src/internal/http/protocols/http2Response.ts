import * as Http2 from "node:http2"
import { writeApart } from "../../platform/privateNode.ts"

/** As much as is written at once, in bytes. Pieces of a quarter of it cost a tenth more. */
const piece = 256 * 1024

/** Where a stream tells that it is written in pieces. */
const inPieces: unique symbol = Symbol("@effect-listener/node/inPieces")

interface Chunked extends Http2.ServerHttp2Stream {
  [inPieces]?: true
}

/** The size that the chunks written to a stream have at most. */
export const largestChunk = (stream: Chunked): number => stream[inPieces] === true ? piece : Infinity

/**
 * The responses of servers of our own making. What is larger than a piece is
 * written in pieces, one after another: Node tells of a chunk when all of it is
 * out, and it could not be known whether its client takes any of it.
 */
export class Http2Response<Request extends Http2.Http2ServerRequest = Http2.Http2ServerRequest>
  extends Http2.Http2ServerResponse<Request>
{
  override write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
    const whole = chunk instanceof Uint8Array && chunk.length > piece
    let from = 0
    if (whole) {
      const stream: Chunked = this.stream
      stream[inPieces] = true
      writeApart(stream)
      for (; from + piece < chunk.length; from += piece) super.write(chunk.subarray(from, from + piece))
    }
    // the arguments are passed on as they came, whichever overload they are for
    return super.write(
      (whole ? chunk.subarray(from) : chunk) as Uint8Array,
      encoding as BufferEncoding,
      callback as () => void
    )
  }
}

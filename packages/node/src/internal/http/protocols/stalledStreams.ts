/** A stream that may wait for its client. */
export interface Sending {
  /** Bytes that wait to be sent. They become fewer only with each chunk that is out. */
  readonly writableLength: number
}

/** The bytes that a stream has to lose in the time that is given: less cannot be told from nothing. */
const step = 64 * 1024

interface Owed {
  readonly pending: number
  readonly since: number
}

/**
 * Which streams of a session wait for a client that takes nothing of them, or too
 * little. Each is judged by what it owes, so that one which stands still is found
 * beside others that flow; and where all stand still, by the window of the session,
 * which Node tells to the byte.
 */
export class StalledStreams<S extends Sending> {
  private readonly limit: number
  /** The size that the chunks of a stream have at most. */
  private readonly largestChunk: (stream: S) => number
  private owed = new Map<S, Owed>()
  private total = 0
  private room: number | undefined
  private stoodSince = 0
  private only: S | undefined

  /** `limit`: in milliseconds. */
  constructor(limit: number, largestChunk: (stream: S) => number) {
    this.limit = limit
    this.largestChunk = largestChunk
  }

  /** Looks at all open streams, with the room there is in the window of their session; answers those that have had their time. */
  look(streams: ReadonlyArray<S>, room: number, now: number): ReadonlyArray<S> {
    const owing = streams.filter(({ writableLength }) => writableLength > 0)
    const total = owing.reduce((sum, { writableLength }) => sum + writableLength, 0)
    if (room !== this.room || total !== this.total) this.stoodSince = now
    const only = streams.length === 1 ? streams[0] : undefined
    // what has left the session was that of its only stream
    const flows = only !== undefined && only === this.only && room !== this.room
    const owed = new Map(owing.map((stream): [S, Owed] => {
      const known = this.owed.get(stream)
      const pending = stream.writableLength
      return [stream, known === undefined || known.pending !== pending || flows ? { pending, since: now } : known]
    }))
    this.owed = owed
    this.total = total
    this.room = room
    this.only = only
    if (now - this.stoodSince >= this.limit) return owing
    return owing.filter((stream) => now - owed.get(stream)!.since >= this.limit * this.stepsOf(stream))
  }

  /** It becomes visible only with a whole chunk that something has left. */
  private stepsOf(stream: S): number {
    return Math.max(1, Math.ceil(Math.min(stream.writableLength, this.largestChunk(stream)) / step))
  }
}

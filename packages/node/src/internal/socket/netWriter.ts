/**
 * The writer of a socket, with its backpressure.
 */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Socket from "effect/socket/Socket"
import type * as Net from "node:net"
import { writeError } from "../platform/socketErrors.ts"
import { type ImmediateEffect, ImmediateTypeId } from "./receiving.ts"
import type { Wakers } from "./wakers.ts"

/** What a writer needs of its connection. */
export interface Output {
  readonly netSocket: Net.Socket
  /** Whether it takes more bytes: no longer once our side is to end, which may take a turn. */
  readonly writable: boolean
  /** Woken when the peer has taken so much that there is room, and when there will never be. */
  readonly room: Wakers
  readonly endWriting: () => void
  readonly closeWith: (event: Socket.CloseEvent) => void
}

/** One acquisition of a connection's writer. Releasing it ends the writing side. */
export class NetWriter implements Socket.Writer {
  readonly write: Socket.Writer["write"] = (chunk) => new NetWrite(this, chunk)
  readonly writeAll: Socket.Writer["writeAll"] = (chunks) =>
    Effect.suspend(() => chunks.length === 1 ? this.send(chunks[0]) : this.sendAll(chunks))
  private readonly connection: Output

  constructor(connection: Output) {
    this.connection = connection
  }

  release(): void {
    this.connection.endWriting()
  }

  send(chunk: Uint8Array | string): Effect.Effect<void, Socket.SocketError> {
    const socket = this.connection.netSocket
    if (!this.connection.writable) return this.failed
    try {
      return socket.write(chunk) ? Effect.void : this.room
    } catch (cause) {
      return Effect.fail(writeError(cause))
    }
  }

  private sendAll(chunks: ReadonlyArray<Uint8Array | string>): Effect.Effect<void, Socket.SocketError> {
    const socket = this.connection.netSocket
    if (!this.connection.writable) return this.failed
    socket.cork()
    try {
      for (const chunk of chunks) socket.write(chunk)
      return this.room
    } catch (cause) {
      return Effect.fail(writeError(cause))
    } finally {
      socket.uncork()
    }
  }

  close(event: Socket.CloseEvent): Effect.Effect<void> {
    this.connection.closeWith(event)
    return Effect.void
  }

  /**
   * Node destroys a socket that is written to after its end: this says what
   * Node would say, without it.
   */
  private get failed(): Effect.Effect<never, Socket.SocketError> {
    const socket = this.connection.netSocket
    const state = socket.destroyed ? "closed" : "ended"
    return Effect.fail(writeError(socket.errored ?? new Error(`the socket is ${state}: it takes no more bytes`)))
  }

  /** Completes when the peer has taken so much that there is room again. */
  private get room(): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => {
      const socket = this.connection.netSocket
      if (socket.destroyed || socket.errored !== null) return this.failed
      return socket.writableNeedDrain ? this.waitForRoom : Effect.void
    })
  }

  private get waitForRoom(): Effect.Effect<void, Socket.SocketError> {
    return Effect.callback((resume) => this.connection.room.wait(() => resume(this.room)))
  }
}

/** A write writes when it begins. What is left is to wait for room, where there is none. */
class NetWrite extends Effectable.Class<void, Socket.SocketError> implements ImmediateEffect<void, Socket.SocketError> {
  private readonly writer: NetWriter
  private readonly chunk: Uint8Array | string | Socket.CloseEvent

  constructor(writer: NetWriter, chunk: Uint8Array | string | Socket.CloseEvent) {
    super()
    this.writer = writer
    this.chunk = chunk
  }

  get [ImmediateTypeId](): typeof ImmediateTypeId {
    return ImmediateTypeId
  }
  begin(): Effect.Effect<void, Socket.SocketError> {
    const { chunk, writer } = this
    // a Uint8Array is slow to ask whether it has a property
    return chunk instanceof Uint8Array || !Socket.isCloseEvent(chunk) ? writer.send(chunk) : writer.close(chunk)
  }
  asEffect(): Effect.Effect<void, Socket.SocketError> {
    return this.begin()
  }
}

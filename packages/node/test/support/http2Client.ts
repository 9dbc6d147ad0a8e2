/** HTTP/2 clients, by Node's own. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http2 from "node:http2"

export interface Answer {
  readonly status: number
  readonly headers: Http2.IncomingHttpHeaders
  readonly length: number
  /** Its first mebibyte. */
  readonly body: string
}

const longestBody = 1 << 20

export interface Client {
  readonly session: Http2.ClientHttp2Session
  /** Whole, or the error the stream ended with. */
  readonly request: (headers: Http2.OutgoingHttpHeaders, options?: RequestOptions) => Effect.Effect<Answer, Error>
  readonly get: (path: string) => Effect.Effect<Answer, Error>
  /** Waits for a GOAWAY; answers its error code. */
  readonly goaway: Effect.Effect<number>
  /** Waits for the end of the session. */
  readonly closed: Effect.Effect<void>
  /** Waits until the server has said something. */
  readonly settings: Effect.Effect<void>
}

export interface RequestOptions {
  readonly body?: Uint8Array | undefined
  /** Reads nothing for so long, in milliseconds. */
  readonly pause?: number | undefined
}

/** Begins to connect; the scope destroys the session. */
export const open = (
  port: number,
  options: { readonly tls?: boolean | undefined } = {}
): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        Http2.connect(`${options.tls === true ? "https" : "http"}://127.0.0.1:${port}`, { rejectUnauthorized: false })
      ),
      (session) => Effect.sync(() => session.destroy())
    ),
    makeClient
  )

/** Connects, and waits until the server has said something. */
export const connect = (
  port: number,
  options?: { readonly tls?: boolean | undefined }
): Effect.Effect<Client, never, Scope.Scope> => Effect.tap(open(port, options), (client) => client.settings)

const makeClient = (session: Http2.ClientHttp2Session): Client => {
  let goaway: number | undefined
  let settled = false
  session.on("error", () => {})
  session.once("goaway", (code) => {
    goaway = code
  })
  session.once("remoteSettings", () => {
    settled = true
  })
  const request: Client["request"] = (asked, { body, pause } = {}) =>
    Effect.callback((resume) => {
      if (session.closed || session.destroyed) return resume(Effect.fail(new Error("the session is closed")))
      const stream = session.request(asked, { endStream: body === undefined })
      const chunks: Array<Buffer> = []
      let status = 0
      let headers: Http2.IncomingHttpHeaders = {}
      let length = 0
      let ended = false
      stream.on("response", (head) => {
        status = head[":status"] ?? 0
        headers = head
        if (pause === undefined) return
        stream.pause()
        setTimeout(() => stream.resume(), pause)
      })
      stream.on("data", (chunk: Buffer) => {
        // in whatever pieces it comes
        if (length < longestBody) chunks.push(chunk.subarray(0, longestBody - length))
        length += chunk.length
      })
      stream.on("end", () => {
        ended = true
      })
      stream.on("error", () => {})
      stream.on("close", () =>
        resume(
          ended && status !== 0
            ? Effect.succeed({ status, headers, length, body: Buffer.concat(chunks).toString() })
            : Effect.fail(new Error(`stream ended with code ${stream.rstCode} after ${length} bytes`))
        ))
      if (body !== undefined) stream.end(body)
    })
  return {
    session,
    request,
    get: (path) => request({ ":path": path }),
    goaway: Effect.callback((resume) => {
      if (goaway !== undefined) return resume(Effect.succeed(goaway))
      session.once("goaway", (code) => resume(Effect.succeed(code)))
    }),
    closed: Effect.callback((resume) => {
      if (session.destroyed) return resume(Effect.void)
      session.once("close", () => resume(Effect.void))
    }),
    settings: Effect.callback((resume) => {
      if (settled) return resume(Effect.void)
      session.once("remoteSettings", () => resume(Effect.void))
    })
  }
}

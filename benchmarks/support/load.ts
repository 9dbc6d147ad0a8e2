/**
 * Load, and what came of it: by wrk where there is one, by our own clients
 * elsewhere and where wrk cannot speak the protocol.
 */
import * as Path from "node:path"
import type { Clients } from "./held.ts"
import type { Server } from "./server.ts"
import * as Tools from "./tools.ts"

export interface Load {
  readonly operations: number
  readonly perSecond: number
  /** CPU time of the server for one operation, in microseconds. */
  readonly cpu: number
  /** The part of it that was not the kernel's. */
  readonly user: number
}

interface Driven {
  readonly operations: number
  readonly perSecond: number
  readonly failed: number
}

const folder = Path.join(import.meta.dirname, "..", "load")

/** The server that is asked what the load cost. */
type Asked = Pick<Server, "port"> & { readonly ask: (question: "cpu" | "user") => Promise<number> }

const measured = async (server: Asked, drive: () => Promise<Driven>): Promise<Load> => {
  const [cpu, user] = [await server.ask("cpu"), await server.ask("user")]
  const { failed, operations, perSecond } = await drive()
  if (operations === 0) throw new Error("nothing was answered")
  if (failed > operations / 100) throw new Error(`${failed} failures beside ${operations} operations`)
  return {
    operations,
    perSecond,
    cpu: (await server.ask("cpu") - cpu) / operations,
    user: (await server.ask("user") - user) / operations
  }
}

/** HTTP GET requests from 64 connections; with `close` each on a connection of its own. */
export const requests = (
  server: Asked,
  { close, seconds }: { readonly close: boolean; readonly seconds: number }
): Promise<Load> =>
  measured(server, async () => {
    const url = `http://127.0.0.1:${server.port}/`
    // wrk counts in whole seconds
    if (Tools.wrk === undefined || !Number.isInteger(seconds)) {
      return driven("requests.ts", [server.port, 64, close ? "close" : "keep-alive", seconds * 1000])
    }
    const header = close ? ["-H", "Connection: close"] : []
    const output = await Tools.client(Tools.wrk, ["-t1", "-c64", `-d${seconds}s`, ...header, url])
    const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output) ?? []
    return {
      operations: Number(/(\d+) requests in/.exec(output)?.[1]),
      perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]),
      failed: errors.slice(1).reduce((sum, count) => sum + Number(count), 0)
    }
  })

/** Messages of 64 bytes there and back, on 64 connections that stay. */
export const messages = (server: Asked, seconds: number): Promise<Load> =>
  measured(server, () => driven("messages.ts", [server.port, 64, 64, seconds * 1000]))

/** Datagrams there and back, 64 on their way at any time. */
export const datagrams = (
  server: Asked,
  { bytes, seconds }: { readonly bytes: number; readonly seconds: number }
): Promise<Load> => measured(server, () => driven("datagrams.ts", [server.port, 64, bytes, seconds * 1000]))

/** Datagrams at a rate, and how many were answered. */
export const datagramsAtRate = async (
  server: Pick<Server, "port">,
  { bytes, rate, seconds }: { readonly bytes: number; readonly rate: number; readonly seconds: number }
): Promise<{ readonly sent: number; readonly answered: number }> =>
  await output("datagramRate.ts", [server.port, rate, bytes, seconds * 1000])

/** New TLS connections, 16 at a time. */
export const handshakes = (server: Asked, seconds: number): Promise<Load> =>
  measured(server, () => driven("handshakes.ts", [server.port, 16, seconds * 1000]))

/** HTTP/2 requests on 8 sessions, 8 at a time. */
export const streams = (server: Asked, seconds: number): Promise<Load> =>
  measured(server, () => driven("streams.ts", [server.port, 8, 8, seconds * 1000]))

/** `count` requests on one connection, sent without waiting for answers. */
export const pipelined = (server: Asked, count: number): Promise<Load> =>
  measured(server, () => driven("pipeline.ts", [server.port, count]))

/** Requests of clients that are there already, and say how many were answered. */
export const asking = async (server: Asked, { tell }: Clients, seconds: number): Promise<Load> =>
  measured(server, async () => {
    const { answered } = await tell<{ readonly answered: number }>(String(seconds * 1000))
    return { operations: answered, perSecond: answered / seconds, failed: 0 }
  })

/** `bytes` on one connection; an operation is a MiB. */
export const transfer = (server: Asked, direction: "upload" | "download", bytes: number): Promise<Load> =>
  measured(server, () => driven("transfer.ts", [server.port, direction, Math.round(bytes)]))

export interface Latency {
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

/** Requests at a rate, on 64 connections. */
export const atRate = async (
  server: Server,
  { rate, seconds }: { readonly rate: number; readonly seconds: number }
): Promise<Latency> => await output("rate.ts", [server.port, 64, rate, seconds * 1000])

const driven = (program: string, args: ReadonlyArray<string | number>): Promise<Driven> => output(program, args)

// what our own clients print, which is what their callers know them to print
const output = async <A>(program: string, args: ReadonlyArray<string | number>): Promise<A> =>
  JSON.parse(await Tools.client(process.execPath, [Path.join(folder, program), ...args.map(String)])) as A

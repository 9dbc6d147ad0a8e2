/** `programs/main.ts` as a process, and what its tests read of it. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as NetClient from "./netClient.ts"
import * as Process from "./process.ts"

const main = new URL("../programs/main.ts", import.meta.url)

export const start = (name: string, options: object = {}, how: Parameters<typeof Process.start>[1] = {}) =>
  Process.start(main, { ...how, args: [name, JSON.stringify(options)] })

/** A client that has been served. */
export const connect = (port: number) =>
  Effect.gen(function*() {
    const client = yield* NetClient.connect(port)
    yield* client.send("hello\n")
    assert.strictEqual(yield* client.line, "hello")
    return client
  })

/** Starts a program that listens, and a client that has been served. */
export const startWithClient = (name: string, options: object = {}) =>
  Effect.gen(function*() {
    const program = yield* start(name, options)
    const client = yield* connect(yield* program.port)
    return { program, client }
  })

export const events = (exit: Process.Exit): ReadonlyArray<Record<string, unknown>> =>
  exit.stdout.map((line): Record<string, unknown> => JSON.parse(line))

export const names = (exit: Process.Exit) => events(exit).map(({ event }) => event)

export const text = (lines: ReadonlyArray<string>) => lines.join("\n")

/** A PostgreSQL of its own for a test, from the binaries that npm brings. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import { freePort } from "../../../packages/node/test/support/listening.ts"
import { asRoot, installation, nobody } from "../../../scripts/verify/postgres.ts"

/** From a folder that every user may enter. */
const options = { cwd: Os.tmpdir(), ...asRoot ? nobody : {} }

const launch = (command: string, args: ReadonlyArray<string>): ChildProcessByStdio<null, null, Readable> =>
  spawn(command, args, { ...options, stdio: ["ignore", "ignore", "pipe"] })

/**
 * Starts a server with an empty database, on a free port of this host. When the
 * scope closes, it is stopped and its files are removed.
 */
export const start: Effect.Effect<{ readonly url: string }, Error, Scope.Scope> = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "postgres-"))),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  )
  const native = asRoot ? Path.join(folder, "native") : installation()
  const data = Path.join(folder, "data")
  Fs.mkdirSync(data, { mode: 0o700 })
  if (asRoot) {
    // nobody may not read a checkout that is root's alone
    Fs.cpSync(installation(), native, { recursive: true, verbatimSymlinks: true })
    for (const name of ["", ...Fs.readdirSync(folder, { encoding: "utf8", recursive: true })]) {
      Fs.lchownSync(Path.join(folder, name), nobody.uid, nobody.gid)
    }
  }

  yield* run(Path.join(native, "bin", "initdb"), [
    `--pgdata=${data}`,
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--no-locale",
    "--no-sync"
  ])
  const port = yield* freePort()
  yield* Effect.acquireRelease(
    serve(Path.join(native, "bin", "postgres"), [
      `-D${data}`,
      `-p${port}`,
      "-h127.0.0.1",
      `-k${data}`,
      // it dies with the test: nothing has to outlive a power cut
      "-F"
    ]),
    stop
  )
  return { url: `postgres://postgres@127.0.0.1:${port}/postgres` }
})

const run = (command: string, args: ReadonlyArray<string>): Effect.Effect<void, Error> =>
  Effect.callback<void, Error>((resume) => {
    const child = launch(command, args)
    const lines: Array<string> = []
    createInterface(child.stderr).on("line", (line) => lines.push(line))
    child.once("error", (error) => resume(Effect.fail(error)))
    child.once("close", (code) => resume(code === 0 ? Effect.void : Effect.fail(new Error(lines.join("\n")))))
  })

const serve = (command: string, args: ReadonlyArray<string>): Effect.Effect<ChildProcess, Error> =>
  Effect.callback<ChildProcess, Error>((resume) => {
    const child = launch(command, args)
    const lines: Array<string> = []
    createInterface(child.stderr).on("line", (line) => {
      if (lines.length < 100) lines.push(line)
      if (line.includes("ready to accept connections")) resume(Effect.succeed(child))
    })
    child.once("error", (error) => resume(Effect.fail(error)))
    child.once("close", () => resume(Effect.fail(new Error(lines.join("\n")))))
  })

const stop = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    // at once, without waiting for its clients
    child.kill("SIGINT")
  })

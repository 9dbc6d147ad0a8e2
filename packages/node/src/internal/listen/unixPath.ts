/**
 * The file by which clients reach a Unix socket: putting it there, and taking
 * it away again.
 */
import { TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { bindError, errorCode } from "./errno.ts"

/** The bytes that sockaddr_un holds, a NUL included: 108 on Linux, 104 on the BSDs and macOS. */
export const longestPath = (process.platform === "linux" ? 108 : 104) - 1

/**
 * A place beside `path` that other users cannot enter, for a socket to be bound
 * at until clients may connect to it. A directory and not a name that is hard
 * to guess: names can be listed, and a socket can be connected to from its bind
 * on. A umask would be the whole process', and a worker thread has none to set.
 */
export const hiddenBeside = (path: string): Effect.Effect<HiddenSocket, TransportBindError, Scope.Scope> =>
  Effect.acquireRelease(
    onDisk(path, () => new HiddenSocket(path)),
    (hidden) => hidden.remove
  )

export class HiddenSocket {
  /** What bind(2) is given: another name of `file` where that is too long. */
  readonly bindAt: string
  readonly file: string
  private readonly directory: string
  private descriptor: number | undefined

  constructor(path: string) {
    this.directory = Fs.mkdtempSync(`${Path.dirname(path)}/.`)
    // libuv removes the name it has bound when the server closes, long after this one is gone: none that comes again
    this.file = Path.join(this.directory, "s")
    this.bindAt = this.file
    if (Buffer.byteLength(this.file) <= longestPath) return
    if (process.platform !== "linux") {
      this.removeNow()
      throw Object.assign(new Error(`no room beside a path of ${Buffer.byteLength(path)} bytes`), {
        code: "ENAMETOOLONG"
      })
    }
    this.file = Path.join(this.directory, randomBytes(8).toString("hex"))
    this.descriptor = Fs.openSync(this.directory, Fs.constants.O_RDONLY | Fs.constants.O_DIRECTORY)
    this.bindAt = `/proc/self/fd/${this.descriptor}/${Path.basename(this.file)}`
  }

  /** Idempotent. What is left behind of it does no harm. */
  readonly remove: Effect.Effect<void> = Effect.ignore(Effect.try(() => this.removeNow()), {
    log: "Warn",
    message: "cannot remove the directory in which a socket was bound"
  })

  private removeNow(): void {
    const { descriptor } = this
    this.descriptor = undefined
    if (descriptor !== undefined) Fs.closeSync(descriptor)
    Fs.rmSync(this.directory, { recursive: true, force: true })
  }
}

/**
 * Lets the socket that listens hidden be found at `path`, with `mode` as its
 * permissions, and returns how to take that away again.
 *
 * Bound under its own name, a socket could be connected to before its
 * permissions are set, and libuv would in the end remove whatever is found
 * there, also when it is another process's by then. So it is bound elsewhere and
 * linked: a link replaces nothing, and is there all at once.
 */
export const publish = (
  hidden: HiddenSocket,
  path: string,
  mode: number | undefined
): Effect.Effect<Effect.Effect<void>, TransportBindError> =>
  Effect.gen(function*() {
    const { file } = hidden
    if (mode !== undefined) yield* onDisk(path, () => Fs.chmodSync(file, mode))
    const withdraw = yield* adopt(path, file)
    const link = onDisk(path, () => tryLink(file, path))
    if (!(yield* link)) {
      yield* removeStale(path)
      if (!(yield* link)) return yield* inUse(path)
    }
    return withdraw
  }).pipe(Effect.ensuring(hidden.remove))

/** How to take the socket file at `path` away again, when it still is the one that is now at `at`. */
export const adopt = (
  path: string,
  at: string = path
): Effect.Effect<Effect.Effect<void>, TransportBindError> =>
  Effect.map(onDisk(path, () => Fs.lstatSync(at)), (own) => {
    // the working directory may be another one by then
    const absolute = Path.resolve(path)
    return Effect.ignore(Effect.try(() => removeIf(absolute, own)), {
      log: "Warn",
      message: `cannot remove the socket file ${absolute}`
    })
  })

const onDisk = <A>(path: string, run: () => A): Effect.Effect<A, TransportBindError> =>
  Effect.try({ try: run, catch: (cause) => bindError(cause, { address: path, parameter: "path" }) })

const inUse = (path: string): Effect.Effect<never, TransportBindError> =>
  Effect.fail(TransportBindError.AddressInUse({ address: path }))

const tryLink = (from: string, path: string): boolean => {
  try {
    Fs.linkSync(from, path)
    return true
  } catch (cause) {
    if (errorCode(cause) === "EEXIST") return false
    throw cause
  }
}

/** Removes a socket file on which nothing listens. Anything else means that the address is in use. */
const removeStale = (path: string): Effect.Effect<void, TransportBindError> =>
  Effect.gen(function*() {
    const found = yield* onDisk(path, () => statsOf(path))
    if (found === undefined) return
    // connecting to a plain file is refused as well
    const answer = found.isSocket() ? yield* Effect.interruptible(probe(path)) : "a file of another kind"
    if (answer !== "ECONNREFUSED") return yield* inUse(path)
    // unless another one was put there meanwhile
    yield* onDisk(path, () => removeIf(path, found))
  })

/** What connecting ends with: an error's name, or nothing where a process listens. */
const probe = (path: string): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    const client = Net.connect(path)
    client.on("error", (cause) => resume(Effect.succeed(errorCode(cause))))
    client.on("connect", () => {
      client.destroy()
      resume(Effect.undefined)
    })
    return Effect.sync(() => client.destroy())
  })

const statsOf = (path: string): Fs.Stats | undefined => Fs.lstatSync(path, { throwIfNoEntry: false })

/** Removes a file when it still is the one it was. */
const removeIf = (path: string, stats: Fs.Stats): void => {
  const found = statsOf(path)
  if (found !== undefined && found.ino === stats.ino && found.dev === stats.dev) Fs.rmSync(path, { force: true })
}

/**
 * The file by which clients reach a Unix socket: putting it there, and taking
 * it away again.
 */
import { TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { bindError, errorCode } from "./errno.ts"

/** sockaddr_un holds so many bytes, a NUL included: 108 on Linux, 104 on the BSDs and macOS. */
export const longestPath = (process.platform === "linux" ? 108 : 104) - 1

/**
 * A name beside `path` that nobody knows. No longer than the system allows,
 * for which `path` itself leaves room.
 */
export const privatePath = (path: string): string => {
  const directory = Path.dirname(path)
  const room = longestPath - Buffer.byteLength(Path.join(directory, "x")) + 1
  return Path.join(directory, `.${randomBytes(8).toString("hex")}`.slice(-room))
}

/**
 * Lets the socket that listens at `from` be found at `path`, with `mode` as
 * its permissions, and returns how to take that away again.
 *
 * Bound under its own name, a socket could be connected to before its
 * permissions are set, and libuv would in the end remove whatever is found
 * there, also when it is somebody else's by then. So it is bound under a name
 * of its own and linked: a link replaces nothing, and is there all at once.
 */
export const publish = (
  from: string,
  path: string,
  mode: number | undefined
): Effect.Effect<Effect.Effect<void>, TransportBindError> =>
  Effect.gen(function*() {
    if (mode !== undefined) yield* onDisk(path, () => Fs.chmodSync(from, mode))
    const own = yield* onDisk(path, () => Fs.lstatSync(from))
    const link = onDisk(path, () => tryLink(from, path))
    if (!(yield* link)) {
      yield* removeStale(path)
      if (!(yield* link)) return yield* inUse(path)
    }
    // the working directory may be another one by then
    const absolute = Path.resolve(path)
    const withdraw = Effect.ignore(Effect.try(() => removeIf(absolute, own)), {
      log: "Warn",
      message: `cannot remove the socket file ${absolute}`
    })
    yield* Effect.onError(onDisk(path, () => Fs.unlinkSync(from)), () => withdraw)
    return withdraw
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

/** Removes a socket file when nobody listens on it. Anything else means that the address is in use. */
const removeStale = (path: string): Effect.Effect<void, TransportBindError> =>
  Effect.gen(function*() {
    const found = yield* onDisk(path, () => statsOf(path))
    if (found === undefined) return
    // connecting to a plain file is refused as well
    const answer = found.isSocket() ? yield* Effect.interruptible(probe(path)) : "a file of another kind"
    if (answer !== "ECONNREFUSED") return yield* inUse(path)
    // unless somebody has put another one there meanwhile
    yield* onDisk(path, () => removeIf(path, found))
  })

/** What connecting ends with: an error's name, or nothing when somebody listens. */
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

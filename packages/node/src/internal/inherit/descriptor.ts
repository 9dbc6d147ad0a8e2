/**
 * What an inherited descriptor is, found out before anything depends on it:
 * `listen` would say EINVAL to all that is no listening socket, and later.
 */
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Net from "node:net"

/** An inherited socket as the system knows it. */
export type Descriptor =
  /** Node opens it once, and `net.Server.listen` takes what it has opened. */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly opened: Net.Socket }
  /** The path is known on Linux. */
  | { readonly kind: "unix"; readonly path: string | undefined }
  | { readonly kind: "udp" }

/** The descriptor, or what it is instead of a socket that can listen. */
export const inspectDescriptor = (fd: number): Result.Result<Descriptor, string> => {
  let stats: Fs.Stats
  try {
    stats = Fs.fstatSync(fd)
  } catch {
    return Result.fail("is closed")
  }
  if (!stats.isSocket()) {
    const kind = kindOfFile(stats)
    // Node opens files of its own before any program runs, and the system gives it the lowest numbers that are free
    return Result.fail(kind === undefined ? "is closed: the number is Node's own by now" : `is ${kind}, not a socket`)
  }
  const unix = unixSocket(stats.ino)
  if (unix !== undefined) return unix
  let opened: Net.Socket
  try {
    // neither read nor written: nothing happens on it until it listens
    opened = new Net.Socket({ fd, readable: false, writable: false })
  } catch (cause) {
    // ERR_INVALID_FD_TYPE: "Unsupported fd type: UDP"
    const type = cause instanceof Error ? cause.message.slice(cause.message.lastIndexOf(" ") + 1) : String(cause)
    return type === "UDP" ? Result.succeed({ kind: "udp" }) : Result.fail(`is a socket that cannot listen (${type})`)
  }
  if (opened.remoteAddress !== undefined) {
    return Result.fail(`is connected to ${opened.remoteAddress} port ${opened.remotePort}, so it does not listen`)
  }
  const address = opened.address()
  return "port" in address
    ? Result.succeed({ kind: "tcp", host: address.address, port: address.port, opened })
    : Result.succeed({ kind: "unix", path: undefined })
}

const kindOfFile = (stats: Fs.Stats): string | undefined =>
  stats.isFile()
    ? "a file"
    : stats.isFIFO()
    ? "a pipe"
    : stats.isDirectory()
    ? "a directory"
    : stats.isCharacterDevice()
    ? "a device"
    : undefined

/** The line of /proc/net/unix that has the inode: flags, type (1 is a stream), state (1 is not connected), path. */
const unixLine = /^\S+ \S+ \S+ (\S+) (\S+) (\S+) +(\d+)(?: (.*))?$/

/** Undefined where it is no Unix socket, or where the system does not tell. */
const unixSocket = (inode: number): Result.Result<Descriptor, string> | undefined => {
  if (process.platform !== "linux") return undefined
  for (const line of readLines("/proc/net/unix")) {
    const [, , type, state, number, path] = unixLine.exec(line) ?? []
    if (Number(number) !== inode) continue
    if (type !== "0001") return Result.fail("is a Unix socket for datagrams, which cannot listen")
    if (state !== "01" || path === undefined) {
      return Result.fail(
        `is a ${state === "01" ? "Unix socket without a name" : "connected Unix socket"}, so it cannot listen`
      )
    }
    return Result.succeed({ kind: "unix", path })
  }
  return undefined
}

const readLines = (file: string): ReadonlyArray<string> => {
  try {
    return Fs.readFileSync(file, "utf8").split("\n")
  } catch {
    // a container may hide it: what listening says later is less clear, and still an error
    return []
  }
}

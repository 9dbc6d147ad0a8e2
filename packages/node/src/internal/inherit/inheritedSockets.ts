/**
 * The sockets this process was started with, and which transports have taken them.
 */
import { TransportBindError } from "@effect-listener/core/Transport"
import * as Result from "effect/Result"
import cluster from "node:cluster"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { causeText } from "../platform/causeText.ts"
import { formatHostPort } from "../platform/hostPort.ts"
import { type Descriptor, inspectDescriptor } from "./descriptor.ts"
import { Gate } from "./gate.ts"
import { type BadVariable, listenVariables, readListenFds } from "./listenFds.ts"
import type { Provable } from "./proof.ts"
import { type BoundTo, type Inheritance, readInheritance } from "./protocol.ts"
import type { SharedSocket } from "./sharedSocket.ts"
import { variable } from "./variable.ts"

/** What a transport wants to listen on. */
export type Wanted =
  | {
    readonly kind: "tcp" | "udp"
    readonly port: number
    readonly host: string | undefined
    readonly ipv6Only: boolean
  }
  | { readonly kind: "unix"; readonly path: string }

/** Which inherited socket a transport takes. */
export interface Choice {
  readonly name: string
  readonly index?: number | undefined
  readonly required?: boolean | undefined
}

/** One inherited socket. */
export interface Inherited {
  readonly name: string
  /** Its place among those of its name. */
  readonly index: number
  readonly fd: number
  readonly from: "systemd" | "supervisor" | "predecessor"
  readonly descriptor: Descriptor
  /** Where its holder says it is bound. */
  readonly boundTo: BoundTo | undefined
  /** A socket that was closed is not taken again. */
  state: "free" | "taken" | "closed"
  probing: ((socket: Net.Socket) => boolean) | undefined
}

export class InheritedSockets {
  readonly sockets: ReadonlyArray<Inherited>
  /** The process that holds them, when that is not a service manager. */
  readonly holder: Inheritance | undefined
  /** Listening waits for it. */
  readonly gate: Gate
  /** Told of each socket that is taken, listens, or cannot. */
  onChange: (() => void) | undefined
  /** Why a socket that was let through the gate does not listen. */
  failure: string | undefined
  private readonly listening = new Set<Inherited>()

  constructor(sockets: ReadonlyArray<Inherited>, holder: Inheritance | undefined) {
    this.sockets = sockets
    this.holder = holder
    this.gate = new Gate(holder === undefined)
  }

  /** Those that no transport has taken. */
  get untaken(): ReadonlyArray<Inherited> {
    return this.sockets.filter((socket) => socket.state === "free")
  }

  /** Those that listen, and whose address is known. */
  get provable(): ReadonlyArray<Inherited & Provable> {
    return Array.from(this.listening).filter((socket): socket is Inherited & Provable => socket.boundTo !== undefined)
  }

  get allListen(): boolean {
    return this.sockets.every((socket) => socket.state === "closed" || this.listening.has(socket))
  }

  /** Takes the socket of this name for a transport; undefined when there is none and it need not be. */
  take(choice: Choice, wanted: Wanted): Result.Result<SharedSocket | undefined, TransportBindError> {
    const { index, name, required } = choice
    const named = this.sockets.filter((socket) => socket.name === name)
    const chosen = index === undefined ? named[0] : named[index]
    if (chosen === undefined || chosen.state === "closed") {
      if (required !== true) return Result.succeed(undefined)
      const others = this.sockets.map(describe).join(", ")
      return Result.fail(TransportBindError.AddressNotAvailable({
        address: `inherited socket ${describe({ name, index })}${
          chosen === undefined ? ` (there ${others === "" ? "are none" : `are: ${others}`})` : ", which was closed"
        }`
      }))
    }
    if (unsupported !== undefined) return Result.fail(TransportBindError.NotSupported({ feature: unsupported }))
    if (index === undefined && named.length > 1) {
      return bad(
        `${named.length} sockets have the name ${JSON.stringify(name)} (${
          named.map(({ fd }) => `descriptor ${fd}`).join(", ")
        }): say which by index`
      )
    }
    if (chosen.state === "taken") {
      return Result.fail(
        TransportBindError.AddressInUse({ address: `inherited socket ${describe(chosen)}, taken twice` })
      )
    }
    return this.takeIt(chosen, wanted)
  }

  /**
   * Takes what a predecessor has handed over for a listener, which a transport
   * takes unasked. Of several of one name the first that is bound as it wants.
   */
  takeFor(listener: string, wanted: Wanted): Result.Result<SharedSocket | undefined, TransportBindError> {
    const named = this.sockets.filter((socket) =>
      socket.from === "predecessor" && socket.name === listener && socket.state === "free"
    )
    const chosen = named.find((socket) => differs(socket, wanted) === undefined) ?? named[0]
    return chosen === undefined ? Result.succeed(undefined) : this.takeIt(chosen, wanted)
  }

  private takeIt(socket: Inherited, wanted: Wanted): Result.Result<SharedSocket, TransportBindError> {
    const mismatch = differs(socket, wanted)
    if (mismatch !== undefined) return bad(`inherited socket ${describe(socket)} ${mismatch}`)
    socket.state = "taken"
    this.onChange?.()
    const { descriptor, fd } = socket
    let listened = false
    return Result.succeed({
      get probing() {
        return socket.probing
      },
      fd,
      handle: descriptor.kind === "tcp" ? descriptor.opened : { fd },
      boundTo: socket.boundTo ?? (descriptor.kind === "tcp"
        ? { kind: "tcp", host: descriptor.host, port: descriptor.port }
        // a service manager keeps the file
        : { kind: "unix", path: wanted.kind === "unix" ? wanted.path : "", ownsFile: false }),
      stopsWithOthers: socket.from === "supervisor",
      gate: this.gate,
      listens: () => {
        listened = true
        this.listening.add(socket)
        this.onChange?.()
      },
      fails: (cause) => {
        this.failure ??= `cannot listen on inherited socket ${describe(socket)}: ${causeText(cause)}`
        this.onChange?.()
      },
      close: () => {
        // a server that has listened has closed it
        if (!listened) {
          if (descriptor.kind === "tcp") descriptor.opened.destroy()
          else Fs.closeSync(fd)
        }
        this.closed(socket)
      }
    })
  }

  closed(socket: Inherited): void {
    socket.state = "closed"
    this.listening.delete(socket)
    this.onChange?.()
  }
}

/** A socket in the words of errors: `"http" (descriptor 3)`. */
export const describe = (
  socket: { readonly name: string; readonly index?: number | undefined; readonly fd?: number }
): string =>
  `${JSON.stringify(socket.name)}${
    socket.fd !== undefined
      ? ` (descriptor ${socket.fd})`
      : socket.index !== undefined
      ? ` (index ${socket.index})`
      : ""
  }`

/** Why no descriptor can be passed here at all. */
const unsupported = process.platform === "win32"
  ? "inherited sockets on Windows"
  : cluster.isWorker
  ? "inherited sockets in a worker of node:cluster, where a descriptor is taken for one of the primary's"
  : undefined

const bad = (detail: string): Result.Result<never, TransportBindError> =>
  Result.fail(TransportBindError.InvalidArgument({ parameter: "inherit", detail }))

const kinds = { tcp: "a TCP socket", udp: "a UDP socket", unix: "a Unix socket" }

/** How a socket is another one than is wanted, if it is. */
const differs = ({ boundTo, descriptor }: Inherited, wanted: Wanted): string | undefined => {
  if (descriptor.kind !== wanted.kind) return `is ${kinds[descriptor.kind]}, not ${kinds[wanted.kind]}`
  if (wanted.kind === "unix") {
    const path = boundTo?.kind === "unix" ? boundTo.path : descriptor.kind === "unix" ? descriptor.path : undefined
    return path === undefined || Path.resolve(path) === Path.resolve(wanted.path)
      ? undefined
      : `is bound to ${path}, not to ${wanted.path}`
  }
  // of a datagram socket nothing is known before it is bound again
  if (descriptor.kind !== "tcp") return undefined
  const has = formatHostPort(descriptor.host, descriptor.port)
  const port = wanted.port === 0 ? descriptor.port : wanted.port
  const host = wanted.host ?? descriptor.host
  if (port !== descriptor.port || !sameHost(host, descriptor.host)) {
    return `is bound to ${has}, not to ${formatHostPort(host, port)}`
  }
  if (wanted.ipv6Only && !Net.isIPv6(descriptor.host)) return `is bound to ${has}, and ipv6Only asks for IPv6`
  return undefined
}

/** A name is not looked up: only addresses can differ. */
const sameHost = (wanted: string, has: string): boolean => {
  const family = Net.isIP(wanted)
  if (family === 0) return true
  if (family !== Net.isIP(has)) return false
  const list = new Net.BlockList()
  list.addAddress(has, family === 6 ? "ipv6" : "ipv4")
  return list.check(wanted, family === 6 ? "ipv6" : "ipv4")
}

// Descriptors and variables are the process's, and so is the account of what has taken which: there is one.
let ofProcess: Result.Result<InheritedSockets, BadVariable> | undefined

/** What this process has inherited: read once, and the variables are gone then. */
export const inheritedSockets = (): Result.Result<InheritedSockets, BadVariable> => {
  if (ofProcess === undefined) {
    ofProcess = read(process.env, process.pid)
    unset(process.env)
  }
  return ofProcess
}

/** Reads the variables and checks the descriptors they name. */
const read = (
  env: Record<string, string | undefined>,
  pid: number
): Result.Result<InheritedSockets, BadVariable> =>
  Result.gen(function*() {
    const passed = yield* readListenFds(env, pid)
    const text = env[variable]
    const holder = text === undefined || text === ""
      ? undefined
      : yield* Result.mapError(readInheritance(text), (detail) => ({ parameter: variable, detail }))
    const places = new Map<string, number>()
    const open = (
      socket: { readonly name: string; readonly fd: number; readonly boundTo?: BoundTo },
      from: Inherited["from"],
      parameter: string
    ): Result.Result<Inherited, BadVariable> => {
      const index = places.get(socket.name) ?? 0
      places.set(socket.name, index + 1)
      return Result.mapBoth(inspectDescriptor(socket.fd), {
        onFailure: (what) => ({ parameter, detail: `inherited socket ${describe(socket)} ${what}` }),
        onSuccess: (descriptor): Inherited => ({
          name: socket.name,
          index,
          fd: socket.fd,
          from,
          descriptor,
          boundTo: socket.boundTo,
          state: "free",
          probing: undefined
        })
      })
    }
    const sockets: Array<Inherited> = []
    for (const socket of passed) sockets.push(yield* open(socket, "systemd", "LISTEN_FDS"))
    for (const socket of holder?.sockets ?? []) sockets.push(yield* open(socket, holder!.from, variable))
    return new InheritedSockets(sockets, holder)
  })

/** Children would believe the variables, too. */
const unset = (env: Record<string, string | undefined>): void => {
  for (const name of [...listenVariables, variable]) delete env[name]
}

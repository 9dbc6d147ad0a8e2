/** Many connections in a few lines: what they do, and where they come from. */
import type { ConnectionInfo } from "@effect-listener/core/DrainReport"
import { isIPv4, isIPv6 } from "node:net"

/** How many groups of each kind are shown. */
const shownGroups = 12

export interface Group {
  readonly name: string
  readonly count: number
  /** The age of the oldest of it (ms). */
  readonly oldest: number
}

export interface Groups {
  readonly groups: ReadonlyArray<Group>
  /** How many groups there are beside these. */
  readonly more: number
}

/** What is in flight, by its label: numbers in it do not make another group. */
export const byLabel = (connections: ReadonlyArray<ConnectionInfo>): Groups => {
  const counted = new Counted()
  for (const { exchanges } of connections) for (const { age, label } of exchanges) counted.add(group(label), age)
  return counted.groups()
}

/** The network a client is in: the /24 of an IPv4 address, the /64 of an IPv6 one. */
export const byNetwork = (connections: ReadonlyArray<ConnectionInfo>): Groups => {
  const counted = new Counted()
  for (const { age, remote } of connections) counted.add(networkOf(remote), age)
  return counted.groups()
}

class Counted {
  private readonly all = new Map<string, { count: number; oldest: number }>()

  add(name: string, age: number): void {
    const group = this.all.get(name)
    if (group === undefined) this.all.set(name, { count: 1, oldest: age })
    else {
      group.count++
      if (age > group.oldest) group.oldest = age
    }
  }

  groups(): Groups {
    const sorted = Array.from(this.all, ([name, group]) => ({ name, ...group }))
      .sort((one, other) => other.count - one.count || other.oldest - one.oldest)
    return { groups: sorted.slice(0, shownGroups), more: Math.max(0, sorted.length - shownGroups) }
  }
}

/** `GET /orders/4711?page=2` is `GET /orders/#`; so are identifiers in hexadecimal. */
export const group = (label: string): string =>
  label.replace(/\?.*$/s, "")
    .replace(/[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}/gi, "#")
    .replace(/\d+/g, "#")

/** An address with its port, or what stands for one. */
export const networkOf = (remote: string): string => {
  const address = /^\[(.+)\]:\d+$/.exec(remote)?.[1] ?? /^([^:]+):\d+$/.exec(remote)?.[1]
  if (address === undefined) return remote === "" ? "unnamed" : remote
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address
  if (isIPv4(mapped)) return `${mapped.slice(0, mapped.lastIndexOf("."))}.0/24`
  return isIPv6(mapped) ? `${prefix64(mapped)}::/64` : mapped
}

/** The first four groups of an IPv6 address. */
const prefix64 = (address: string): string => {
  const [before = "", after] = (address.split("%")[0] ?? "").split("::")
  const left = before === "" ? [] : before.split(":")
  const right = after === undefined || after === "" ? [] : after.split(":")
  const groups = after === undefined
    ? left
    : [...left, ...Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => "0"), ...right]
  return groups.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, "").toLowerCase()).join(":")
}

import { isIP } from "node:net"
import { hostname } from "node:os"

/**
 * Whether a request was meant for the inspector. A web page can let its own name
 * point to this machine (DNS rebinding), and would read here what it cannot from
 * outside; the name it was asked by is then the page's, which is one of the public
 * DNS. An address and a name without a dot, such as `localhost` or that of a
 * container, are none.
 */
export const isAllowed = (host: string | undefined, hosts: ReadonlyArray<string> | "any"): boolean => {
  // without the header it was no browser
  if (hosts === "any" || host === undefined || host === "") return true
  const name = nameOf(host)
  if (name === undefined) return false
  if (isIP(name) !== 0 || !name.includes(".") || name.endsWith(".localhost")) return true
  return name === hostname().toLowerCase() || hosts.some((allowed) => matches(name, allowed.toLowerCase()))
}

/** Lower case, without port, brackets and the dot at the end; undefined where it is no name. */
const nameOf = (host: string): string | undefined => {
  const [, address, name] = /^(?:\[([0-9a-f:.]+)\]|([^\s:/@\\[\]]+))(?::\d*)?$/i.exec(host.trim()) ?? []
  if (address !== undefined) return isIP(address) === 6 ? address : undefined
  return name?.toLowerCase().replace(/\.$/, "")
}

const matches = (name: string, allowed: string): boolean =>
  allowed.startsWith("*.") ? name.endsWith(allowed.slice(1)) && name.length > allowed.length - 1 : name === allowed

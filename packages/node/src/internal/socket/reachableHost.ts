/** Where a client of this machine reaches a socket that listens at an address: also at that of every address. */
export const reachableHost = (host: string): string => host === "::" ? "::1" : host === "0.0.0.0" ? "127.0.0.1" : host

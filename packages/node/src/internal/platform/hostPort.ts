/** Where a socket is bound or asked to be, as people and URLs write it. */
export const formatHostPort = (host: string, port: number): string =>
  `${host.includes(":") ? `[${host}]` : host}:${port}`

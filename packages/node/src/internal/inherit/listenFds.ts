/**
 * The variables by which a service manager passes sockets, sd_listen_fds(3):
 * `LISTEN_FDS`, `LISTEN_FDNAMES`, `LISTEN_PID`. Pure.
 */
import * as Result from "effect/Result"
import { firstDescriptor } from "./protocol.ts"

export const listenVariables = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID"] as const

/** A variable that cannot be believed, and why. */
export interface BadVariable {
  readonly parameter: string
  readonly detail: string
}

/** What sd_listen_fds_with_names(3) calls sockets that have no name. */
const unnamed = "unknown"

/** The names of the sockets passed, the first of which is descriptor 3. */
export const readListenFds = (
  env: Record<string, string | undefined>,
  pid: number
): Result.Result<ReadonlyArray<{ readonly name: string; readonly fd: number }>, BadVariable> => {
  const { LISTEN_FDNAMES: names, LISTEN_FDS: count, LISTEN_PID: meant } = env
  if (count === undefined || count === "") return Result.succeed([])
  if (!/^\d{1,6}$/.test(count)) {
    return Result.fail({
      parameter: "LISTEN_FDS",
      detail: `expected a number of sockets, got ${JSON.stringify(count)}`
    })
  }
  if (meant !== undefined && meant !== "" && meant !== String(pid)) {
    return Result.fail({
      parameter: "LISTEN_PID",
      detail: `the sockets were passed to process ${meant}, and this is ${pid}: let the service manager start node ` +
        `itself, without npm or a shell between, or let the shell "exec" it`
    })
  }
  const sockets = Number(count)
  const list = names === undefined || names === "" ? Array<string>(sockets).fill(unnamed) : names.split(":")
  if (list.length !== sockets) {
    return Result.fail({
      parameter: "LISTEN_FDNAMES",
      detail: `${list.length} names (${names}) for ${sockets} sockets`
    })
  }
  return Result.succeed(list.map((name, index) => ({ name, fd: firstDescriptor + index })))
}

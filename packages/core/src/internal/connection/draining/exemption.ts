import type * as Fiber from "effect/Fiber"
import type { ConnectionImpl } from "../connection.ts"

/** What some fibers do on a connection, of all that is in flight: nothing, everything, or something besides other work. */
export type Share = "none" | "all" | "some"

export const shareOf = (
  connection: ConnectionImpl,
  isExempt: (fiber: Fiber.Fiber<unknown, unknown>) => boolean
): Share => {
  const serving = connection.servingFibers()
  // an idle connection, of which there may be thousands
  if (serving.length === 0 && (connection.exchanges?.size ?? 0) === 0) return "none"
  const own = serving.filter(isExempt).length
  const open = Array.from(connection.exchanges ?? [])
  const exempt = open.filter(({ fiber }) =>
    fiber !== undefined && (isExempt(fiber) || (own > 0 && serving.includes(fiber)))
  )
  if (own === 0 && exempt.length === 0) return "none"
  if (open.length > exempt.length) return "some"
  const { driver, handled, pulling } = connection
  if (driver !== undefined && connection.driverExchanges().length > own) return "some"
  // accepted, and handed on to another fiber that reads
  if (!handled && driver === undefined && open.length === 0 && pulling > 0) return "some"
  return "all"
}

/**
 * Errors of a listener, made of what a transport said.
 */
import {
  AccessDenied,
  AddressInUse,
  AddressNotAvailable,
  InvalidArgument,
  type ListenError,
  NotSupported,
  type OperationTimedOut,
  QuotaExceeded,
  SecurityFailure,
  TransportFailure
} from "../../ListenerError.ts"
import type { TransportBindError } from "../../Transport.ts"

/**
 * Completes what a transport said about its bind with the listener's name, the
 * operation and a trail. The one place where these errors are built from
 * foreign values, so that no constructor can throw.
 */
export const fromBindError = (
  error: TransportBindError,
  at: { readonly listener: string; readonly operation: string }
): Exclude<ListenError, OperationTimedOut> => {
  const context = { ...at, trail: [] }
  switch (error._tag) {
    case "InvalidArgument":
      return new InvalidArgument({ ...context, parameter: String(error.parameter), detail: String(error.detail) })
    case "QuotaExceeded":
      return new QuotaExceeded({
        ...context,
        quota: String(error.quota),
        ...(typeof error.limit === "number" && Number.isFinite(error.limit) ? { limit: error.limit } : {})
      })
    case "AddressInUse":
      return new AddressInUse({ ...context, address: String(error.address) })
    case "AddressNotAvailable":
      return new AddressNotAvailable({ ...context, address: String(error.address) })
    case "AccessDenied":
      return new AccessDenied({ ...context, address: String(error.address) })
    case "SecurityFailure":
      return new SecurityFailure({ ...context, detail: String(error.detail) })
    case "NotSupported":
      return new NotSupported({ ...context, feature: String(error.feature) })
    case "TransportFailure":
      return transportFailure({ code: error.code, cause: error.cause }, at)
  }
}

/** A failure of the transport in the middle of an operation, from values that may be anything. */
export const transportFailure = (
  failure: { readonly code?: string | undefined; readonly cause: unknown },
  at: { readonly listener: string; readonly operation: string }
): TransportFailure =>
  new TransportFailure({
    ...at,
    trail: [],
    cause: failure.cause,
    ...(failure.code === undefined ? {} : { code: String(failure.code) })
  })

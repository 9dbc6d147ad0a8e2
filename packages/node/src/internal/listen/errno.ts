/**
 * The system's error names, in a transport's words.
 */
import { TransportAcceptError, TransportBindError } from "@effect-listener/core/Transport"
import * as Predicate from "effect/Predicate"
import { causeText } from "../platform/causeText.ts"

/** The system's name of an error, such as `EADDRINUSE`; Node puts it in `code`. */
export const errorCode = (cause: unknown): string | undefined =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined

/**
 * Why a bind failed.
 *
 * `address` is what could not be bound, as an operator would write it;
 * `parameter` is the option that names it.
 */
export const bindError = (
  cause: unknown,
  options: { readonly address: string; readonly parameter: string }
): TransportBindError => {
  const { address, parameter } = options
  const code = errorCode(cause)
  if (code?.startsWith("EAI_") === true) return TransportBindError.AddressNotAvailable({ address })
  switch (code) {
    case "EADDRINUSE":
      return TransportBindError.AddressInUse({ address })
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "ENOENT":
      return TransportBindError.AddressNotAvailable({ address })
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return TransportBindError.AccessDenied({ address })
    case "EMFILE":
      return TransportBindError.QuotaExceeded({ quota: "file descriptors of the process" })
    case "ENFILE":
      return TransportBindError.QuotaExceeded({ quota: "file descriptors of the system" })
    case "ENOBUFS":
      return TransportBindError.QuotaExceeded({ quota: "socket buffers of the system" })
    case "ENOMEM":
      return TransportBindError.QuotaExceeded({ quota: "memory" })
    case "EINVAL":
    case "ENAMETOOLONG":
    // Node's own checks of its arguments
    case "ERR_INVALID_ARG_TYPE":
    case "ERR_INVALID_ARG_VALUE":
    case "ERR_OUT_OF_RANGE":
    case "ERR_SOCKET_BAD_PORT":
      return TransportBindError.InvalidArgument({ parameter, detail: causeText(cause) })
    case "ENOTSUP":
    case "EAFNOSUPPORT":
      return TransportBindError.NotSupported({ feature: `${address} (${code})` })
    default:
      return TransportBindError.TransportFailure({ code, cause })
  }
}

/** Why an accept failed. An unknown error counts as transient: the listener gives up when it keeps coming. */
export const acceptError = (cause: unknown): TransportAcceptError => {
  const code = errorCode(cause)
  switch (code) {
    case "EMFILE":
    case "ENFILE":
    case "ENOBUFS":
    case "ENOMEM":
      return new TransportAcceptError({ class: "exhausted", code, cause })
    case "EBADF":
    case "ENOTSOCK":
    case "EINVAL":
      return new TransportAcceptError({ class: "fatal", code, cause })
    default:
      return new TransportAcceptError({ class: "transient", code, cause })
  }
}

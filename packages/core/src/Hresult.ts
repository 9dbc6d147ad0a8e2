/**
 * The result codes of Windows Web Services, for logs, dashboards and peers that
 * know a failure by its HRESULT.
 *
 * Every `ListenerError` has exactly one code (`of`), and a code names itself
 * (`describe`): the whole `WS_S_*` and `WS_E_*` family of facility 0x3D and the
 * codes of other facilities that come with it. The numbers are those of
 * `winerror.h`; Microsoft's own overview page prints others
 * (`docs/decisions/0001-hresult-values.md`).
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Option from "effect/Option"

const table = {
  WS_S_ASYNC: [0x003d0000, "the operation was started and is pending"],
  WS_S_END: [0x003d0001, "there are no more messages"],
  WS_E_INVALID_FORMAT: [0x803d0000, "the data is not in the expected format"],
  WS_E_OBJECT_FAULTED: [0x803d0001, "the object is faulted and accepts no new operation"],
  WS_E_NUMERIC_OVERFLOW: [0x803d0002, "an arithmetic operation overflowed"],
  WS_E_INVALID_OPERATION: [0x803d0003, "the operation is not allowed in the current state"],
  WS_E_OPERATION_ABORTED: [0x803d0004, "the operation was aborted before it was complete"],
  WS_E_ENDPOINT_ACCESS_DENIED: [0x803d0005, "access to the endpoint was denied"],
  WS_E_OPERATION_TIMED_OUT: [0x803d0006, "the operation took longer than its time limit"],
  WS_E_OPERATION_ABANDONED: [0x803d0007, "the caller stopped waiting, the operation goes on"],
  WS_E_QUOTA_EXCEEDED: [0x803d0008, "a limit was exceeded"],
  WS_E_NO_TRANSLATION_AVAILABLE: [0x803d0009, "there is no text in the requested language"],
  WS_E_SECURITY_VERIFICATION_FAILURE: [0x803d000a, "the security of received data could not be verified"],
  WS_E_ADDRESS_IN_USE: [0x803d000b, "the address is in use, or no address is left"],
  WS_E_ADDRESS_NOT_AVAILABLE: [0x803d000c, "the address cannot be used on this machine"],
  WS_E_ENDPOINT_NOT_FOUND: [0x803d000d, "the endpoint or its host does not exist"],
  WS_E_ENDPOINT_NOT_AVAILABLE: [0x803d000e, "the endpoint is out of service"],
  WS_E_ENDPOINT_FAILURE: [0x803d000f, "the endpoint could not process the request"],
  WS_E_ENDPOINT_UNREACHABLE: [0x803d0010, "there is no route to the endpoint"],
  WS_E_ENDPOINT_ACTION_NOT_SUPPORTED: [0x803d0011, "the endpoint does not know the requested action"],
  WS_E_ENDPOINT_TOO_BUSY: [0x803d0012, "the endpoint is overloaded"],
  WS_E_ENDPOINT_FAULT_RECEIVED: [0x803d0013, "the endpoint answered with a fault message"],
  WS_E_ENDPOINT_DISCONNECTED: [0x803d0014, "the connection was ended by the endpoint or the network"],
  WS_E_PROXY_FAILURE: [0x803d0015, "the HTTP proxy failed"],
  WS_E_PROXY_ACCESS_DENIED: [0x803d0016, "the HTTP proxy denied access"],
  WS_E_NOT_SUPPORTED: [0x803d0017, "the feature is not available on this platform"],
  WS_E_PROXY_REQUIRES_BASIC_AUTH: [0x803d0018, "the HTTP proxy requires basic authentication"],
  WS_E_PROXY_REQUIRES_DIGEST_AUTH: [0x803d0019, "the HTTP proxy requires digest authentication"],
  WS_E_PROXY_REQUIRES_NTLM_AUTH: [0x803d001a, "the HTTP proxy requires NTLM authentication"],
  WS_E_PROXY_REQUIRES_NEGOTIATE_AUTH: [0x803d001b, "the HTTP proxy requires negotiate authentication"],
  WS_E_SERVER_REQUIRES_BASIC_AUTH: [0x803d001c, "the server requires basic authentication"],
  WS_E_SERVER_REQUIRES_DIGEST_AUTH: [0x803d001d, "the server requires digest authentication"],
  WS_E_SERVER_REQUIRES_NTLM_AUTH: [0x803d001e, "the server requires NTLM authentication"],
  WS_E_SERVER_REQUIRES_NEGOTIATE_AUTH: [0x803d001f, "the server requires negotiate authentication"],
  WS_E_INVALID_ENDPOINT_URL: [0x803d0020, "the URL does not fit the operation"],
  WS_E_OTHER: [0x803d0021, "the platform failed in a way that has no code of its own"],
  WS_E_SECURITY_TOKEN_EXPIRED: [0x803d0022, "the security token has expired"],
  WS_E_SECURITY_SYSTEM_FAILURE: [0x803d0023, "the security system of this machine failed"],
  E_INVALIDARG: [0x80070057, "an argument is invalid"],
  E_OUTOFMEMORY: [0x8007000e, "there is not enough memory"],
  CERT_E_EXPIRED: [0x800b0101, "a certificate has expired or is not valid yet"],
  CERT_E_UNTRUSTEDROOT: [0x800b0109, "a certificate chain ends in a root that is not trusted"],
  CERT_E_CN_NO_MATCH: [0x800b010f, "the certificate's name does not match the host"],
  CERT_E_WRONG_USAGE: [0x800b0110, "the certificate is not valid for this usage"],
  CRYPT_E_REVOCATION_OFFLINE: [0x80092013, "the revocation server could not be reached"]
} as const satisfies Record<string, readonly [code: number, meaning: string]>

/**
 * The names of the codes, as in `winerror.h`.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Name = keyof typeof table

/**
 * A result code that names itself.
 *
 * **Details**
 *
 * - `code`: the 32 bits as an unsigned number.
 * - `severity`: the first of them.
 * - `tag`: the one `ListenerError` that has this code, if there is one.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Hresult {
  readonly code: number
  readonly name: Name
  readonly meaning: string
  readonly severity: "Success" | "Error"
  readonly tag: Option.Option<Tag>
}

const names = {
  InvalidOperation: "WS_E_INVALID_OPERATION",
  InvalidArgument: "E_INVALIDARG",
  OperationAborted: "WS_E_OPERATION_ABORTED",
  OperationTimedOut: "WS_E_OPERATION_TIMED_OUT",
  ListenerFaulted: "WS_E_OBJECT_FAULTED",
  QuotaExceeded: "WS_E_QUOTA_EXCEEDED",
  AddressInUse: "WS_E_ADDRESS_IN_USE",
  AddressNotAvailable: "WS_E_ADDRESS_NOT_AVAILABLE",
  AccessDenied: "WS_E_ENDPOINT_ACCESS_DENIED",
  SecurityFailure: "WS_E_SECURITY_SYSTEM_FAILURE",
  NotSupported: "WS_E_NOT_SUPPORTED",
  TransportFailure: "WS_E_OTHER"
} as const satisfies Record<string, Name>

/**
 * The tags of a listener's errors.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Tag = keyof typeof names

// Object.keys and Object.entries widen literal keys to string; both records have no others
const tags = new Map<Name, Tag>((Object.entries(names) as Array<[Tag, Name]>).map(([tag, name]) => [name, tag]))

/**
 * Every code of the table: `WS_S_*`, `WS_E_*`, then those of other facilities.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export const all: ReadonlyArray<Hresult> = (Object.keys(table) as Array<Name>).map((name) => {
  const [code, meaning] = table[name]
  return {
    code,
    name,
    meaning,
    severity: code < 0x80000000 ? "Success" : "Error",
    tag: Option.fromUndefinedOr(tags.get(name))
  }
})

const byCode: ReadonlyMap<number, Hresult> = new Map(all.map((hresult) => [hresult.code, hresult]))

/**
 * The code of an error, as an unsigned number.
 *
 * **Example** (The code of a port that is taken)
 *
 * ```ts
 * import { Hresult, ListenerError } from "@effect-listener/core"
 *
 * const error = new ListenerError.AddressInUse({
 *   listener: "api",
 *   operation: "open",
 *   trail: [],
 *   address: "127.0.0.1:8080"
 * })
 *
 * console.log(Hresult.format(Hresult.of(error))) // => 0x803D000B
 * ```
 *
 * @stability experimental
 * @category getters
 * @since 0.1.0
 */
export const of = (error: { readonly _tag: Tag }): number => table[names[error._tag]][0]

/**
 * What a code means, or `None` for one that is not in the table.
 *
 * **Details**
 *
 * A code is read as 32 bits, so the signed form that Windows logs often print
 * (`-2143485949`) is the same code.
 *
 * **Example** (Reading a number from a log)
 *
 * ```ts
 * import { Hresult } from "@effect-listener/core"
 * import { Option } from "effect"
 *
 * console.log(Option.getOrThrow(Hresult.describe(0x803D0003)).name) // => WS_E_INVALID_OPERATION
 * console.log(Option.getOrThrow(Hresult.describe(-2143485949)).name) // => WS_E_INVALID_OPERATION
 * ```
 *
 * @stability experimental
 * @category getters
 * @since 0.1.0
 */
export const describe = (code: number): Option.Option<Hresult> =>
  Option.fromUndefinedOr(byCode.get(code < 0 ? code + 2 ** 32 : code))

/**
 * A code as it is usually written: `0x` and eight upper-case digits.
 *
 * **Example** (Printing a code)
 *
 * ```ts
 * import { Hresult } from "@effect-listener/core"
 *
 * console.log(Hresult.format(0x003D0001)) // => 0x003D0001
 * ```
 *
 * @stability experimental
 * @category formatting
 * @since 0.1.0
 */
export const format = (code: number): string => `0x${(code >>> 0).toString(16).toUpperCase().padStart(8, "0")}`

import { TransportBindError } from "@effect-listener/core/Transport"
import { assert, describe, it } from "@effect/vitest"
import { acceptError, bindError, errorCode } from "../src/internal/listen/errno.ts"

const systemError = (code: string): Error => Object.assign(new Error(`listen ${code}`), { code })

const address = "127.0.0.1:80"
const context = { address, parameter: "host" }

describe("errno", () => {
  it.each(
    [
      ["EADDRINUSE", TransportBindError.AddressInUse({ address })],
      ["EADDRNOTAVAIL", TransportBindError.AddressNotAvailable({ address })],
      ["ENOTFOUND", TransportBindError.AddressNotAvailable({ address })],
      ["EAI_AGAIN", TransportBindError.AddressNotAvailable({ address })],
      ["EAI_NODATA", TransportBindError.AddressNotAvailable({ address })],
      ["ENOENT", TransportBindError.AddressNotAvailable({ address })],
      ["EACCES", TransportBindError.AccessDenied({ address })],
      ["EPERM", TransportBindError.AccessDenied({ address })],
      ["EROFS", TransportBindError.AccessDenied({ address })],
      ["EMFILE", TransportBindError.QuotaExceeded({ quota: "file descriptors of the process" })],
      ["ENFILE", TransportBindError.QuotaExceeded({ quota: "file descriptors of the system" })],
      ["ENOBUFS", TransportBindError.QuotaExceeded({ quota: "socket buffers of the system" })],
      ["ENOMEM", TransportBindError.QuotaExceeded({ quota: "memory" })],
      ["EINVAL", TransportBindError.InvalidArgument({ parameter: "host", detail: "listen EINVAL" })],
      ["ENAMETOOLONG", TransportBindError.InvalidArgument({ parameter: "host", detail: "listen ENAMETOOLONG" })],
      [
        "ERR_INVALID_ARG_VALUE",
        TransportBindError.InvalidArgument({
          parameter: "host",
          detail: "listen ERR_INVALID_ARG_VALUE"
        })
      ],
      ["ENOTSUP", TransportBindError.NotSupported({ feature: "127.0.0.1:80 (ENOTSUP)" })],
      ["EAFNOSUPPORT", TransportBindError.NotSupported({ feature: "127.0.0.1:80 (EAFNOSUPPORT)" })]
    ] as const
  )("a bind that failed with %s", (code, expected) => {
    assert.deepStrictEqual(bindError(systemError(code), context), expected)
  })

  it.each([systemError("EIO"), new Error("no code"), "not an error", undefined, { code: 5 }])(
    "a bind that failed with something else: %s",
    (cause) => {
      assert.deepStrictEqual(
        bindError(cause, context),
        TransportBindError.TransportFailure({ code: errorCode(cause), cause })
      )
    }
  )

  it.each([
    ["ECONNABORTED", "transient"],
    ["EPROTO", "transient"],
    ["EINTR", "transient"],
    ["EMFILE", "exhausted"],
    ["ENFILE", "exhausted"],
    ["ENOBUFS", "exhausted"],
    ["ENOMEM", "exhausted"],
    ["EBADF", "fatal"],
    ["ENOTSOCK", "fatal"],
    ["EINVAL", "fatal"],
    ["ESOMETHING", "transient"]
  ])("an accept that failed with %s is %s", (code, expected) => {
    const cause = systemError(code)
    const error = acceptError(cause)
    assert.deepStrictEqual([error.class, error.code, error.cause], [expected, code, cause])
    assert.strictEqual(error.message, `accept failed (${expected}, ${code})`)
  })

  it("an accept that failed without a code is transient", () => {
    assert.deepStrictEqual([acceptError("?").class, acceptError("?").code], ["transient", undefined])
  })
})

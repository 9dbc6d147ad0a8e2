import { assert, describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import * as Hresult from "../src/Hresult.ts"
import type { ListenerError } from "../src/ListenerError.ts"
import { samples } from "./support/errors.ts"

// winerror.h, copied by hand
const winerror: ReadonlyArray<readonly [name: string, hex: string]> = [
  ["WS_S_ASYNC", "0x003D0000"],
  ["WS_S_END", "0x003D0001"],
  ["WS_E_INVALID_FORMAT", "0x803D0000"],
  ["WS_E_OBJECT_FAULTED", "0x803D0001"],
  ["WS_E_NUMERIC_OVERFLOW", "0x803D0002"],
  ["WS_E_INVALID_OPERATION", "0x803D0003"],
  ["WS_E_OPERATION_ABORTED", "0x803D0004"],
  ["WS_E_ENDPOINT_ACCESS_DENIED", "0x803D0005"],
  ["WS_E_OPERATION_TIMED_OUT", "0x803D0006"],
  ["WS_E_OPERATION_ABANDONED", "0x803D0007"],
  ["WS_E_QUOTA_EXCEEDED", "0x803D0008"],
  ["WS_E_NO_TRANSLATION_AVAILABLE", "0x803D0009"],
  ["WS_E_SECURITY_VERIFICATION_FAILURE", "0x803D000A"],
  ["WS_E_ADDRESS_IN_USE", "0x803D000B"],
  ["WS_E_ADDRESS_NOT_AVAILABLE", "0x803D000C"],
  ["WS_E_ENDPOINT_NOT_FOUND", "0x803D000D"],
  ["WS_E_ENDPOINT_NOT_AVAILABLE", "0x803D000E"],
  ["WS_E_ENDPOINT_FAILURE", "0x803D000F"],
  ["WS_E_ENDPOINT_UNREACHABLE", "0x803D0010"],
  ["WS_E_ENDPOINT_ACTION_NOT_SUPPORTED", "0x803D0011"],
  ["WS_E_ENDPOINT_TOO_BUSY", "0x803D0012"],
  ["WS_E_ENDPOINT_FAULT_RECEIVED", "0x803D0013"],
  ["WS_E_ENDPOINT_DISCONNECTED", "0x803D0014"],
  ["WS_E_PROXY_FAILURE", "0x803D0015"],
  ["WS_E_PROXY_ACCESS_DENIED", "0x803D0016"],
  ["WS_E_NOT_SUPPORTED", "0x803D0017"],
  ["WS_E_PROXY_REQUIRES_BASIC_AUTH", "0x803D0018"],
  ["WS_E_PROXY_REQUIRES_DIGEST_AUTH", "0x803D0019"],
  ["WS_E_PROXY_REQUIRES_NTLM_AUTH", "0x803D001A"],
  ["WS_E_PROXY_REQUIRES_NEGOTIATE_AUTH", "0x803D001B"],
  ["WS_E_SERVER_REQUIRES_BASIC_AUTH", "0x803D001C"],
  ["WS_E_SERVER_REQUIRES_DIGEST_AUTH", "0x803D001D"],
  ["WS_E_SERVER_REQUIRES_NTLM_AUTH", "0x803D001E"],
  ["WS_E_SERVER_REQUIRES_NEGOTIATE_AUTH", "0x803D001F"],
  ["WS_E_INVALID_ENDPOINT_URL", "0x803D0020"],
  ["WS_E_OTHER", "0x803D0021"],
  ["WS_E_SECURITY_TOKEN_EXPIRED", "0x803D0022"],
  ["WS_E_SECURITY_SYSTEM_FAILURE", "0x803D0023"],
  ["E_INVALIDARG", "0x80070057"],
  ["E_OUTOFMEMORY", "0x8007000E"],
  ["CERT_E_EXPIRED", "0x800B0101"],
  ["CERT_E_UNTRUSTEDROOT", "0x800B0109"],
  ["CERT_E_CN_NO_MATCH", "0x800B010F"],
  ["CERT_E_WRONG_USAGE", "0x800B0110"],
  ["CRYPT_E_REVOCATION_OFFLINE", "0x80092013"]
]

const codes: Record<ListenerError["_tag"], string> = {
  InvalidOperation: "0x803D0003",
  InvalidArgument: "0x80070057",
  OperationAborted: "0x803D0004",
  OperationTimedOut: "0x803D0006",
  ListenerFaulted: "0x803D0001",
  QuotaExceeded: "0x803D0008",
  AddressInUse: "0x803D000B",
  AddressNotAvailable: "0x803D000C",
  AccessDenied: "0x803D0005",
  SecurityFailure: "0x803D0023",
  NotSupported: "0x803D0017",
  TransportFailure: "0x803D0021"
}

describe("Hresult", () => {
  it("has every code of the table, in its order, and no other", () => {
    assert.deepEqual<unknown>(Hresult.all.map(({ code, name }) => [name, Hresult.format(code)]), winerror)
  })

  describe("a code", () => {
    it("names every code, its severity and its meaning", () => {
      for (const [name, hex] of winerror) {
        const hresult = Option.getOrThrow(Hresult.describe(Number(hex)))
        assert.strictEqual(hresult.name, name)
        assert.strictEqual(hresult.code, Number(hex))
        assert.strictEqual(hresult.severity, name.startsWith("WS_S_") ? "Success" : "Error")
        assert.match(hresult.meaning, /^[a-z].{10,}[^.]$/, "a sentence that fits after a colon")
      }
    })

    it("every code has a meaning of its own", () => {
      assert.strictEqual(new Set(Hresult.all.map(({ meaning }) => meaning)).size, winerror.length)
    })

    it("reads the signed form of a code", () => {
      // ~~ is the conversion to signed 32 bits
      for (const { code, name } of Hresult.all) {
        assert.strictEqual(Option.getOrThrow(Hresult.describe(~~code)).name, name)
      }
    })

    it.each([0, 1, 0x803d0024, 0x804d0003, 0x80004005, -1, NaN, Infinity, 0x803d0003 + 0.5, 0x803d0003 + 2 ** 32])(
      "is None for %d",
      (code) => {
        assert.deepStrictEqual(Hresult.describe(code), Option.none())
      }
    )
  })

  describe("an error", () => {
    it.each(Object.values(samples))("$_tag has its code", (error) => {
      assert.strictEqual(Hresult.format(Hresult.of(error)), codes[error._tag])
    })

    it("there and back: each error has a code of its own, and the code knows the error", () => {
      for (const error of Object.values(samples)) {
        assert.deepStrictEqual(
          Hresult.describe(Hresult.of(error)).pipe(Option.flatMap(({ tag }) => tag)),
          Option.some(error._tag)
        )
      }
      assert.strictEqual(Hresult.all.filter(({ tag }) => Option.isSome(tag)).length, 12)
    })
  })

  it.each([
    [0x803d0003, "0x803D0003"],
    [-2143485949, "0x803D0003"],
    [0x003d0000, "0x003D0000"],
    [0, "0x00000000"],
    [-1, "0xFFFFFFFF"]
  ])("format %d", (code, text) => {
    assert.strictEqual(Hresult.format(code), text)
  })
})

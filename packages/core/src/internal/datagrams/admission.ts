/**
 * The limits of a datagram listener, as those of any admission: what is over a
 * limit is dropped, because nothing holds a sender of datagrams back.
 */
import * as Result from "effect/Result"
import type { DatagramAdmissionOptions } from "../../DatagramListener.ts"
import type { DropReason } from "../../DrainReport.ts"
import type { RefusalReason } from "../options/admission.ts"
import { admissionDefaults, resolveAdmission, type ResolvedAdmission } from "../options/admission.ts"
import type { BadOption } from "../options/time.ts"

export const datagramDefaults: ResolvedAdmission = { ...admissionDefaults, overflow: "reject" }

export const resolveDatagramAdmission = (
  options: DatagramAdmissionOptions | undefined,
  base: ResolvedAdmission
): Result.Result<ResolvedAdmission, BadOption> =>
  Result.mapError(
    resolveAdmission({
      maxConnections: options?.maxExchanges,
      maxQueued: options?.maxQueued,
      maxPerRemote: options?.maxPerRemote,
      acceptRate: options?.receiveRate,
      maxEventLoopLag: options?.maxEventLoopLag
    }, base),
    ({ detail, parameter }) => ({
      detail,
      parameter: parameter.replace("maxConnections", "maxExchanges").replace("acceptRate", "receiveRate")
    })
  )

/** What datagrams call the limit that an arrival met. */
export const dropReason: Record<RefusalReason, DropReason> = {
  maxConnections: "maxExchanges",
  maxQueued: "maxQueued",
  maxPerRemote: "maxPerRemote",
  acceptRate: "receiveRate",
  maxEventLoopLag: "maxEventLoopLag",
  // nothing limits how long one is held
  queuedTimeout: "maxQueued",
  // no datagram is introduced
  notIntroduced: "transport"
}

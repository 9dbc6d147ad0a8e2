/**
 * The options of the PROXY protocol, checked.
 */
import * as DurationOption from "@effect-listener/core/DurationOption"
import { TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as IpNetwork from "effect/net/IpNetwork"
import * as Result from "effect/Result"
import type { ProxyProtocolOptions } from "../../NodeProxyProtocol.ts"
import type { IntroductionOptions } from "./introduction.ts"

const defaultTimeout = 3000

/** What fits into a segment of any path: 576 bytes less the headers of IP and TCP (section 2.2). */
const defaultLongest = 536

/** The header of version 2 without addresses, and with as many bytes as its length can say. */
const shortest = 16
const longest = shortest + 65_535

export const checkProxyProtocol: (
  options: ProxyProtocolOptions | undefined
) => Effect.Effect<IntroductionOptions | undefined, TransportBindError> = Effect.fnUntraced(function*(options) {
  if (options === undefined) return undefined
  const { others = "refuse", versions = [1, 2] } = options
  if (others !== "refuse" && others !== "plain") return yield* bad("others", "expected \"refuse\" or \"plain\"")
  if (versions.length === 0 || versions.some((version) => version !== 1 && version !== 2)) {
    return yield* bad("versions", "expected 1, 2 or both")
  }
  const most = options.longest ?? defaultLongest
  if (!Number.isInteger(most) || most < shortest || most > longest) {
    return yield* bad("longest", `expected an integer from ${shortest} to ${longest}, got ${most}`)
  }
  return {
    from: yield* checkNetworks(options.from),
    others,
    versions,
    longest: most,
    timeout: yield* checkTimeout(options.timeout)
  }
})

const bad = (parameter: string, detail: string): Effect.Effect<never, TransportBindError> =>
  Effect.fail(TransportBindError.InvalidArgument({ parameter: `proxyProtocol.${parameter}`, detail }))

const checkNetworks = (
  from: ProxyProtocolOptions["from"]
): Effect.Effect<IntroductionOptions["from"], TransportBindError> => {
  if (from === undefined) return Effect.succeed(undefined)
  if (from.length === 0) return bad("from", "expected at least one network")
  const networks = Result.all(from.map((input) => IpNetwork.fromInput(input)))
  return Result.isSuccess(networks) ? Effect.succeed(networks.success) : bad("from", networks.failure.message)
}

const checkTimeout = (input: ProxyProtocolOptions["timeout"]): Effect.Effect<number, TransportBindError> => {
  if (input === undefined) return Effect.succeed(defaultTimeout)
  return Result.match(DurationOption.millis("proxyProtocol.timeout", input, { infinite: false, positive: true }), {
    onFailure: (error) => Effect.fail(TransportBindError.InvalidArgument(error)),
    onSuccess: (millis) => Effect.succeed(Math.ceil(millis))
  })
}

/**
 * WebSockets by the `ws` package: their options and their pings.
 */
import * as DurationOption from "@effect-listener/core/DurationOption"
import { TransportBindError } from "@effect-listener/core/Transport"
import type * as NodeWS from "@effect/platform-node/NodeWS"
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import type { Options } from "../../../NodeWebSocket.ts"
import { keepAsking, UpgradingServer } from "./webSocketServer.ts"

/** A mebibyte: more than most messages, and less than what a few clients could fill a memory with. */
const defaultMaxMessageSize = 1 << 20

const defaultPing = Duration.seconds(30)

/** What options mean, and the first that cannot be used. */
export interface WebSocketSettings {
  readonly maxPayload: number
  /** Milliseconds; `Infinity` for no pings. */
  readonly ping: number
  readonly compression: boolean
  readonly bad: TransportBindError | undefined
}

export const settings = (options: Options | undefined): WebSocketSettings => {
  const { compression = false, maxMessageSize = defaultMaxMessageSize } = options ?? {}
  const ping = DurationOption.millis("ping", options?.ping ?? defaultPing, { infinite: true, positive: true })
  const whole = Number.isSafeInteger(maxMessageSize) && maxMessageSize >= 1
  const bad = (parameter: keyof Options, detail: string) =>
    TransportBindError.InvalidArgument({
      parameter,
      detail: `${detail}, got ${Formatter.format(options?.[parameter])}`
    })
  return {
    maxPayload: whole ? maxMessageSize : defaultMaxMessageSize,
    ping: Result.getOrElse(ping, () => Infinity),
    compression,
    bad: !whole
      ? bad("maxMessageSize", "expected a whole number of bytes, at least 1")
      : Result.isFailure(ping)
      ? TransportBindError.InvalidArgument(ping.failure)
      : undefined
  }
}

/** One that pings its clients. */
export class PingingServer extends UpgradingServer {
  private readonly interval: number

  constructor({ compression, maxPayload, ping }: WebSocketSettings) {
    super({ noServer: true, maxPayload, perMessageDeflate: compression, clientTracking: false })
    this.interval = ping
  }

  protected override opened(webSocket: NodeWS.WebSocket): void {
    if (this.interval < DurationOption.longestTimer) keepAsking(webSocket, this.interval)
  }
}

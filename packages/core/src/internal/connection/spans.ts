/**
 * The spans of a connection and of its exchanges, where they are traced.
 */
import * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import type { EndReason } from "../../DrainReport.ts"
import { endSpan, startSpan } from "../telemetry/tracing.ts"
import * as Foreign from "../util/foreign.ts"
import type { ConnectionImpl } from "./connection.ts"
import { remoteOf } from "./connectionInfo.ts"

export const startConnectionSpan = (connection: ConnectionImpl): void => {
  connection.span = Foreign.call(connection, "tracer", () => connectionSpan(connection), undefined)
}

const connectionSpan = (connection: ConnectionImpl): Tracer.Span =>
  startSpan(connection.context.tracing, "Listener.connection", {
    root: true,
    kind: "server",
    attributes: {
      listener: connection.listener,
      connection: connection.id,
      protocol: connection.protocol,
      remote: remoteOf(connection)
    }
  })

export const endConnectionSpan = (connection: ConnectionImpl, reason: EndReason): void => {
  const { span } = connection
  if (span === undefined) return
  const lost = reason === "failed" || reason === "cut"
  Foreign.call(connection, "tracer", () => {
    span.attribute("reason", reason)
    span.attribute("bytesIn", connection.bytesIn)
    span.attribute("bytesOut", connection.bytesOut)
    endSpan(connection.context.tracing, span, lost ? Exit.fail(`connection ${reason}`) : Exit.void)
  }, undefined)
}

/** The span of an exchange of callback code. */
export const startExchangeSpan = (connection: ConnectionImpl, label: string): Tracer.Span | undefined => {
  const { tracing } = connection.context
  if (!tracing.exchanges) return undefined
  const options = { ...exchangeSpan(connection, label), ...parentOf(connection.span) }
  return Foreign.call(connection, "tracer", () => startSpan(tracing, "Listener.exchange", options), undefined)
}

export const endExchangeSpan = (connection: ConnectionImpl, span: Tracer.Span): void => {
  Foreign.call(connection, "tracer", () => endSpan(connection.context.tracing, span, Exit.void), undefined)
}

/** What the span of any exchange is made with. */
export const exchangeSpan = (connection: ConnectionImpl, label: string) => {
  const { id, listener } = connection
  return { kind: "server", attributes: { listener, connection: id, label } } as const
}

/** Not below the span the listener was made in, which is over long before. */
const parentOf = (span: Tracer.Span | undefined) => span === undefined ? { root: true } : { parent: span }

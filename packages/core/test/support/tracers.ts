import { Effect, Tracer } from "effect"

/** What a tracer can throw at. */
export const tracerMembers = ["span", "attribute", "event", "end"] as const

/** Provides a tracer that throws at one of its members, for the spans of which it is true. */
export const withThrowingTracer = (
  member: (typeof tracerMembers)[number],
  which: (options: Parameters<Tracer.Tracer["span"]>[0]) => boolean
) =>
  Effect.withTracer(Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      if (!which(options)) return span
      const thrown = (): never => {
        throw new Error("the tracer is broken")
      }
      return member === "span" ? thrown() : Object.defineProperty(span, member, { value: thrown })
    }
  }))

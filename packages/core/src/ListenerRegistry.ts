/**
 * Who is listening in this program: how a main program finds the listeners it
 * has to close, without a global.
 *
 * `NodeMain.runMain` puts a registry into the context of the program it runs;
 * `Listener.make` joins the one it finds there, until its scope closes.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Option from "effect/Option"
import type { Listener } from "./Listener.ts"

/**
 * The listeners that are in scope, in the order in which they were made.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface ListenerRegistry {
  /** Adds a listener; call the result to take it out again. */
  readonly add: (listener: Listener) => () => void
  readonly listeners: () => ReadonlyArray<Listener>
}

/**
 * The registry of the running program; `None` where nobody provided one.
 *
 * @stability experimental
 * @category references
 * @since 0.1.0
 */
export const CurrentRegistry: Context.Reference<Option.Option<ListenerRegistry>> = Context.Reference(
  "@effect-listener/core/ListenerRegistry/CurrentRegistry",
  { defaultValue: () => Option.none<ListenerRegistry>() }
)

/**
 * Makes an empty registry.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const make = (): ListenerRegistry => {
  const members = new Set<Listener>()
  return {
    add: (listener) => {
      members.add(listener)
      return () => {
        members.delete(listener)
      }
    },
    listeners: () => Array.from(members)
  }
}

import type * as Fiber from "effect/Fiber"

/**
 * Interrupts a program, but not while it runs finalizers: an interruption that
 * waits for their end takes the place of the failure they run for.
 */
export const interruptGently = (fiber: Fiber.Fiber<unknown, unknown>): void => {
  // not in the interface of fibers, but all of them have it; without it, the interruption waits inside the fiber
  const { interruptible } = fiber as { readonly interruptible?: boolean }
  if (interruptible !== false) return fiber.interruptUnsafe(fiber.id)
  const retry = setTimeout(() => interruptGently(fiber), 10)
  fiber.addObserver(() => clearTimeout(retry))
}

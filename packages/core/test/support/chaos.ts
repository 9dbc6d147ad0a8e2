import { Effect } from "effect"

/** Numbers in [0, 1) that are the same for the same seed. */
export const seeded = (seed: number) => {
  let state = Math.imul(seed + 1, 2_654_435_761) >>> 0
  return (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** What no member of a transport or a driver is meant to answer with. */
const nonsense: ReadonlyArray<unknown> = [
  undefined,
  null,
  7,
  Number.NaN,
  "x",
  Symbol("x"),
  Object.create(null),
  {},
  [undefined],
  Effect.void,
  Effect.never,
  Effect.die("nonsense"),
  () => {
    throw new Error("nonsense")
  },
  () => undefined
]

/** The same, but that each read of a member and each call of one may throw, or answer with nonsense: so often of one. */
export const chaotic = <A extends object>(target: A, random: () => number, often: number): A => {
  const happens = () => random() < often
  const any = () => nonsense[Math.floor(random() * nonsense.length)]
  return new Proxy(target, {
    get: (_, member): unknown => {
      const value: unknown = Reflect.get(target, member, target)
      if (typeof member === "symbol") return value
      if (happens()) throw new Error(`the read of ${member}`)
      if (happens()) return any()
      if (typeof value === "function") {
        return (...args: ReadonlyArray<unknown>): unknown => {
          if (happens()) throw new Error(`the call of ${member}`)
          const answer: unknown = Reflect.apply(value, target, args)
          return happens() ? any() : answer
        }
      }
      return Effect.isEffect(value) && happens() ? Effect.die(new Error(`the effect of ${member}`)) : value
    }
  })
}

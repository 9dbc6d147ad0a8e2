/**
 * The edge to code that is not ours: a transport's, a protocol driver's, a
 * `refuse`, a tracer. Each call gives a value or a fallback. The first throw of a
 * connection is one log line and one counted end of that connection, and of
 * nothing else.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"

/** The owner of the code that is called: it hears of what was thrown. */
export interface ForeignOwner {
  readonly threw: (member: string, defect: unknown) => void
}

/** `f` is given the owner, so that a call for each connection needs no function of its own. */
export const call = <A, Owner extends ForeignOwner>(
  owner: Owner,
  member: string,
  f: (owner: Owner) => A,
  fallback: A
): A => {
  try {
    return f(owner)
  } catch (defect) {
    owner.threw(member, defect)
    return fallback
  }
}

/** A call whose caller has a word of its own for what is thrown, such as the error of a write. */
export const attempt = <A>(f: () => A, thrown: (defect: unknown) => A): A => {
  try {
    return f()
  } catch (defect) {
    return thrown(defect)
  }
}

/** A member. It takes no function of its own, because each connection is asked for some. */
export const read = <A extends object, Member extends keyof A & string, B>(
  owner: ForeignOwner,
  foreign: A,
  member: Member,
  fallback: B
): A[Member] | B => {
  try {
    return foreign[member]
  } catch (defect) {
    owner.threw(member, defect)
    return fallback
  }
}

/** A number that reports and sums can take. */
export const number = (owner: ForeignOwner, member: string, f: () => number): number => {
  const n = call(owner, member, f, 0)
  return Number.isFinite(n) ? n : 0
}

/** What an effect of foreign code does; what throws, dies or is no effect is reported, and `otherwise` runs. */
export const run = (
  owner: ForeignOwner,
  member: string,
  f: () => Effect.Effect<void>,
  otherwise: Effect.Effect<void> = Effect.void
): Effect.Effect<void> =>
  Effect.catchCause(effectOf(member, f), (cause) => {
    if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
    owner.threw(member, Cause.squash(cause))
    return otherwise
  })

/** The effect that foreign code answers with; a defect that names the member where it is none. */
export const effectOf = <A, E, R>(member: string, f: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => checked(member, f()))

/** The effect that foreign code answers with, which fails as it does; `fallback` where it throws or answers with none. */
export const callEffect = <A, E, R>(
  owner: ForeignOwner,
  member: string,
  f: () => Effect.Effect<A, E, R>,
  fallback: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => call(owner, member, () => checked(member, f()), fallback)

const checked = <A, E, R>(member: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  // its type is what its author declares
  if (Effect.isEffect(effect)) return effect
  throw new TypeError(`${member} is not an Effect`)
}

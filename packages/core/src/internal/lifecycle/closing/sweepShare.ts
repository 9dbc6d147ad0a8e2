/**
 * How long a sweep of the accept queue may take.
 */

/**
 * A sweep is looked at after each such part of the deadline: a loop that stays
 * busy, and clients that never stop connecting, must not take all of it from the
 * drain.
 */
const part = 0.1

/** Milliseconds from one look to the next, and at least one. */
export const sweepShare = (deadline: number): number => Math.max(1, deadline * part)

/**
 * When a sweep ends, whatever is queued: the last share is the drain's. Swept
 * clients are served once the sweep is over, and need that time.
 */
export const sweepEnds = (
  { deadlineAt, share, startedAt }: { readonly startedAt: number; readonly share: number; readonly deadlineAt: number }
): number => deadlineAt === Infinity ? Infinity : Math.min(deadlineAt, Math.max(startedAt + share, deadlineAt - share))

/**
 * Whether a sweep goes on when a share is over, from what was known at its
 * beginning and is now: whether clients that had connected before the sweep are
 * still queued. They are waited for, and what comes after them, or out of a queue
 * that cannot be seen, has one share.
 */
export const sweepGoesOn = (before: boolean | undefined, now: boolean | undefined): boolean =>
  before === true || now === true

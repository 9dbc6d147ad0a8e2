/** When a lame duck ends, as it looks now: an arrival moves the end on, within its bounds. */
export const lameDuckEnds = (
  { max, min, quiet }: { readonly min: number; readonly quiet: number; readonly max: number },
  { lastArrival, startedAt }: { readonly startedAt: number; readonly lastArrival: number }
): number => {
  const quietAt = quiet === 0 ? startedAt + max : Math.max(lastArrival, startedAt) + quiet
  return Math.min(startedAt + max, Math.max(startedAt + min, quietAt))
}

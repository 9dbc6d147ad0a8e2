/** Milliseconds of the machine's monotonic clock: the same one in every thread and process. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6

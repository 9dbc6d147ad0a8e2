/** A label may hold what a client sent, such as a path of 16 KB. */
const longestLabel = 200

/** As much of a label as an operator is shown, with a mark where it goes on. */
export const clip = (label: string): string =>
  label.length <= longestLabel ? label : `${label.slice(0, longestLabel - 1).replace(/[\ud800-\udbff]$/, "")}…`

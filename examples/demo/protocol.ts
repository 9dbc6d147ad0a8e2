/**
 * The line protocol that the three servers of the demo speak, so that one load
 * fits all.
 *
 * `echo x` is answered `x`, `sleep N` `slept N` after N ms, `bytes N` with N
 * bytes, `block N` `blocked` after holding the event loop for N ms, and `never`
 * not at all.
 */

export type Request =
  | { readonly verb: "echo"; readonly text: string }
  | { readonly verb: "sleep" | "bytes" | "block"; readonly amount: number }
  | { readonly verb: "never" }

/** Reads one line; what is no other request is echoed. */
export const parse = (line: string): Request => {
  if (line === "never") return { verb: "never" }
  const match = /^(sleep|bytes|block) (\d+)$/.exec(line)
  if (match !== null) {
    const [, verb, amount] = match
    if (verb === "sleep" || verb === "bytes" || verb === "block") return { verb, amount: Number(amount) }
  }
  return { verb: "echo", text: line.replace(/^echo /, "") }
}

/** A stateful splitter: give it text as it arrives, get the lines that are whole. */
export const lineSplitter = (): (text: string) => Array<string> => {
  let rest = ""
  return (text) => {
    const lines = (rest + text).split("\n")
    rest = lines.pop() ?? ""
    return lines
  }
}

const piece = Buffer.alloc(256 * 1024, "x")

/** The body of `bytes N`, piece by piece. */
export function* body(bytes: number): Generator<Uint8Array> {
  for (let left = bytes; left > 0; left -= piece.length) yield left < piece.length ? piece.subarray(0, left) : piece
}

/** Holds the event loop, as a large `JSON.parse` or a synchronous template does. */
export const block = (ms: number): void => {
  const end = performance.now() + ms
  while (performance.now() < end) {
    // the point is to do nothing else
  }
}

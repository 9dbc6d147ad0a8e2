/**
 * Finds the examples of the documentation: every fenced `ts` block, in Markdown and in the docstrings of TypeScript.
 *
 * An example is a whole module that ends by itself. What it prints, if it says so, stands behind `// =>`, on the line
 * that prints it or below, one comment a line; `…` stands for any text:
 *
 * ```text
 * console.log(1 + 1) // => 2
 * console.log(`${name}\n${milliseconds} ms`)
 * // => api
 * // => … ms
 * ```
 *
 * A fence opened by `ts no-run: <reason>` is checked for types only.
 */
import { parseSync } from "oxc-parser"

export interface DocExample {
  /** Relative to the root. */
  readonly file: string
  /** The line of `file` on which `code` begins, from 1. */
  readonly line: number
  readonly code: string
  /** Why it is not run. */
  readonly noRun: string | undefined
}

interface Line {
  readonly number: number
  readonly text: string
}

export const fromMarkdown = (file: string, text: string): ReadonlyArray<DocExample> =>
  examplesIn(file, text.split("\n").map((text, index) => ({ number: index + 1, text })))

export const fromTypeScript = (file: string, text: string): ReadonlyArray<DocExample> =>
  parseSync(file, text).comments
    .filter((comment) => comment.type === "Block" && comment.value.startsWith("*"))
    .flatMap((comment) => {
      const first = text.slice(0, comment.start).split("\n").length
      return examplesIn(
        file,
        comment.value.split("\n").map((text, index) => ({
          number: first + index,
          text: text.replace(/^\s*\* ?/, "")
        }))
      )
    })

const examplesIn = (file: string, lines: ReadonlyArray<Line>): ReadonlyArray<DocExample> => {
  const examples: Array<DocExample> = []
  for (let at = 0; at < lines.length; at++) {
    const opening = /^(\s*)(`{3,}|~{3,})\s*(\S*)\s*(.*?)\s*$/.exec(lines[at]?.text ?? "")
    if (opening === null) continue
    const [, indent = "", fence = "", language = "", info = ""] = opening
    const place = `${file}:${lines[at]?.number}`
    const first = at + 1
    at = lines.findIndex(({ text }, index) => index >= first && text.trim().startsWith(fence) && !/\w/.test(text))
    if (at === -1) throw new Error(`${place}: this code block has no end`)
    if (!["ts", "typescript"].includes(language)) continue
    const noRun = /^no-run: (.+)$/.exec(info)?.[1]
    if (info !== "" && noRun === undefined) throw new Error(`${place}: write "no-run: <reason>", not "${info}"`)
    examples.push({
      file,
      line: lines[first]?.number ?? 0,
      code: lines.slice(first, at).map(({ text }) => text.startsWith(indent) ? text.slice(indent.length) : text)
        .join("\n"),
      noRun
    })
  }
  return examples
}

/** What the example says it prints, line by line. */
export const expectations = (example: DocExample): ReadonlyArray<string> =>
  parseSync("example.ts", example.code).comments
    .filter((comment) => comment.type === "Line" && /^\s*=>/.test(comment.value))
    .map((comment) => comment.value.replace(/^\s*=>/, "").trim())

/**
 * The index of the decisions, from their titles, which say what was decided.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

export interface Decision {
  readonly file: string
  readonly number: number
  readonly title: string
  /** How a later decision changed this one, and which. */
  readonly changed: { readonly how: string; readonly by: number } | undefined
}

/** All decisions, by number. Throws where a file's title has no number, another than its name, or a lower-case beginning. */
export const decisions = (root: string): ReadonlyArray<Decision> =>
  Fs.readdirSync(Path.join(root, "docs/decisions"))
    .filter((file) => file.endsWith(".md") && file !== "README.md")
    .map((file) => {
      const text = Fs.readFileSync(Path.join(root, "docs/decisions", file), "utf8")
      const [heading = ""] = text.split("\n", 1)
      const [, number, title] = /^# (\d+)\. ([^a-z].+)$/.exec(heading) ?? []
      if (title === undefined || Number(number) !== Number(file.slice(0, 4))) {
        throw new Error(`docs/decisions/${file} begins with "${heading}", not with "# <its number>. <Title>"`)
      }
      const [, how, by] = /^\*\*(Undone|Added to) by decision (\d+)\*\*/m.exec(text) ?? []
      const changed = how === undefined ? undefined : { how: how.toLowerCase(), by: Number(by) }
      return { file, number: Number(number), title, changed }
    })
    .sort((a, b) => a.number - b.number)

export const decisionIndex = (root: string): string => {
  const all = decisions(root)
  const change = ({ changed }: Decision): string => {
    const later = changed && all.find(({ number }) => number === changed.by)
    return changed && later ? `; ${changed.how} by [${changed.by}](${later.file})` : ""
  }
  return [
    "<!-- Generated from the titles by `pnpm reference`. -->",
    "",
    "# Decisions",
    "",
    "What was decided where it could have been otherwise, and why. What holds today is in the code and the guides; a decision is changed by a later one.",
    "",
    "| | decided |",
    "|---|---|",
    ...all.map((decision) => `| ${decision.number} | [${decision.title}](${decision.file})${change(decision)} |`),
    ""
  ].join("\n")
}

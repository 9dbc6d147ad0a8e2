/**
 * The index of the decisions, from their titles, which say what was decided.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

export interface Decision {
  readonly file: string
  readonly number: number
  readonly title: string
}

/** All decisions, by number. Throws where a file's title has no number, or another than its name. */
export const decisions = (root: string): ReadonlyArray<Decision> =>
  Fs.readdirSync(Path.join(root, "docs/decisions"))
    .filter((file) => file.endsWith(".md") && file !== "README.md")
    .map((file) => {
      const [heading = ""] = Fs.readFileSync(Path.join(root, "docs/decisions", file), "utf8").split("\n", 1)
      const [, number, title] = /^# (\d+)[.:] (.+)$/.exec(heading) ?? []
      if (title === undefined || Number(number) !== Number(file.slice(0, 4))) {
        throw new Error(`docs/decisions/${file} begins with "${heading}", not with "# <its number>. <title>"`)
      }
      return { file, number: Number(number), title: title[0]!.toUpperCase() + title.slice(1) }
    })
    .sort((a, b) => a.number - b.number)

export const decisionIndex = (root: string): string =>
  [
    "<!-- Generated from the titles by `pnpm reference`. -->",
    "",
    "# Decisions",
    "",
    "What was decided where it could have been otherwise, and why. What holds today is in the code and the guides; a decision is changed by a later one.",
    "",
    "| | decided |",
    "|---|---|",
    ...decisions(root).map(({ file, number, title }) => `| ${number} | [${title}](${file}) |`),
    ""
  ].join("\n")

/**
 * The pages of the API reference, as Markdown.
 */
import type { PublicModule } from "../publicModules.ts"
import type { Docstring, Export, ModuleDoc } from "./read.ts"

export interface DocumentedModule extends PublicModule, ModuleDoc {}

const generated = "<!-- Generated from the docstrings by `pnpm reference`. -->"

export const renderModule = (module: DocumentedModule): string =>
  blocks([
    generated,
    `# ${module.name}`,
    fenced(importOf(module)),
    markdown(module.doc),
    status(module.doc),
    ...categories(module.exports).flatMap(([category, exports]) => [
      `## ${category}`,
      ...byName(exports).flatMap(([name, declarations]) => [
        `### ${name}`,
        ...declarations.flatMap((declaration) => renderExport(declaration, module.doc))
      ])
    ])
  ])

const importOf = ({ indexed, name, packageName }: PublicModule): string =>
  indexed ? `import { ${name} } from "${packageName}"` : `import * as ${name} from "${packageName}/${name}"`

const renderExport = (declaration: Export, module: Docstring): ReadonlyArray<string> => [
  fenced(declaration.signature),
  markdown(declaration.doc),
  ...tag(declaration.doc, "deprecated").map((text) => `**Deprecated.** ${links(text)}`.trim()),
  ...tag(declaration.doc, "see").map((text) => `See also ${links(text)}`),
  ...status(declaration.doc) === status(module) ? [] : [status(declaration.doc)]
]

/** The list of all pages. */
export const renderIndex = (modules: ReadonlyArray<DocumentedModule>): string =>
  blocks([
    generated,
    "# API reference",
    "One page for each module. A module is imported from its package by name, or by its path, as in",
    fenced(`import { Listener } from "@effect-listener/core"\nimport * as Drain from "@effect-listener/core/Drain"`),
    ...group(modules, (module) => module.packageName).flatMap(([name, modules]) => [
      `## ${name}`,
      modules.map((module) => `- [${module.name}](${module.name}.md): ${firstSentence(module.doc)}`).join("\n")
    ])
  ])

const blocks = (parts: ReadonlyArray<string>): string => parts.filter((part) => part !== "").join("\n\n") + "\n"

const fenced = (code: string): string => `\`\`\`ts\n${code}\n\`\`\``

const markdown = (doc: Docstring): string => links(doc.text)

/** `{@link x}` and `{@link x text}`, as code: pages do not know each other's headings. */
const links = (text: string): string =>
  text.replace(/\{@link\s+(\S+?)(?:[\s|]+([^}]+))?\}/g, (_, target: string, label?: string) => label ?? `\`${target}\``)

const tag = (doc: Docstring, name: string): ReadonlyArray<string> => doc.tags.get(name) ?? []

const status = (doc: Docstring): string => {
  const since = tag(doc, "since").map((version) => `since ${version}`)
  const [first = "", ...rest] = [...tag(doc, "stability"), ...since]
  return first === "" ? "" : `*${[first.charAt(0).toUpperCase() + first.slice(1), ...rest].join(", ")}*`
}

const firstSentence = (doc: Docstring): string => {
  const [paragraph = ""] = markdown(doc).split("\n\n")
  return /^.*?[.:](?=\s|$)/s.exec(paragraph)?.[0].replaceAll("\n", " ").replace(/:$/, ".") ?? paragraph
}

/** In the order of the source, as the author meant them to be read. */
const categories = (exports: ReadonlyArray<Export>): ReadonlyArray<[string, Array<Export>]> => {
  const named = new Map(exports.toReversed().map((declaration) => [declaration.name, declaration]))
  // a value and a type of one name stand together, where the first of them does
  return group(exports, (declaration) => tag((named.get(declaration.name) ?? declaration).doc, "category")[0] ?? "")
}

const byName = (exports: ReadonlyArray<Export>) => group(exports, (declaration) => declaration.name)

const group = <A>(items: ReadonlyArray<A>, key: (item: A) => string): ReadonlyArray<[string, Array<A>]> => {
  const groups = new Map<string, Array<A>>()
  for (const item of items) groups.set(key(item), [...groups.get(key(item)) ?? [], item])
  return Array.from(groups)
}

/**
 * Reads a public module into what its page shows: each export with its docstring and the signature it is written with.
 *
 * Signatures are the source's own text, cut before the implementation. So an exported function needs explicit types, and
 * one without is an error here. What a module exports from a file of `internal` is read there.
 */
import * as Path from "node:path"
import type { ArrowFunctionExpression, Class, Comment, Declaration, ParamPattern, Statement } from "oxc-parser"
import { parseSync } from "oxc-parser"

export interface Docstring {
  /** Markdown. */
  readonly text: string
  readonly tags: ReadonlyMap<string, ReadonlyArray<string>>
}

export interface Export {
  readonly name: string
  readonly kind: "class" | "constant" | "function" | "interface" | "namespace" | "type"
  readonly doc: Docstring
  /** TypeScript. */
  readonly signature: string
}

export interface ModuleDoc {
  readonly doc: Docstring
  /** In the order of the source, without those marked `@internal`. */
  readonly exports: ReadonlyArray<Export>
}

interface Source {
  readonly file: string
  readonly text: string
  /** Docstrings, in order. */
  readonly comments: ReadonlyArray<Comment>
}

/** The text of another file, by its path. */
export type ReadFile = (file: string) => string

export const readModule = (file: string, text: string, readFile: ReadFile): ModuleDoc => {
  const { body, source } = parse(file, text)
  const [first] = source.comments
  if (first === undefined || text.slice(0, first.start).trim() !== "") {
    throw new Error(`${file}: the module has no docstring`)
  }
  return {
    doc: parseDocstring(first.value),
    exports: body.flatMap((statement) => readExport(source, statement, readFile))
  }
}

const parse = (file: string, text: string): { readonly source: Source; readonly body: ReadonlyArray<Statement> } => {
  const { comments, errors, program } = parseSync(file, text)
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`)
  return { source: { file, text, comments: comments.filter(isDocstring) }, body: program.body as Array<Statement> }
}

const readExport = (source: Source, statement: Statement, readFile: ReadFile): ReadonlyArray<Export> => {
  if (statement.type === "ExportAllDeclaration" || statement.type === "ExportDefaultDeclaration") {
    throw new Error(`${place(source, statement.start)}: export each thing by its own name`)
  }
  if (statement.type !== "ExportNamedDeclaration") return []
  if (statement.source !== null) {
    const names = statement.specifiers.map(({ exported }) => source.text.slice(exported.start, exported.end))
    return readFrom(Path.join(Path.dirname(source.file), statement.source.value), names, readFile)
  }
  const comment = docstringBefore(source, statement.start)
  const doc = comment === undefined ? undefined : parseDocstring(comment.value)
  if (doc?.tags.has("internal")) return []
  if (statement.declaration === null) {
    throw new Error(`${place(source, statement.start)}: declare it where it is exported`)
  }
  const read = readDeclaration(source, statement.declaration)
  if (doc === undefined) throw new Error(`${place(source, statement.start)}: ${read.name} has no docstring`)
  for (const tag of ["stability", "category", "since"]) {
    if (!doc.tags.has(tag)) throw new Error(`${place(source, statement.start)}: ${read.name} has no @${tag}`)
  }
  return [{ ...read, doc }]
}

/** What another file declares by these names. */
const readFrom = (file: string, names: ReadonlyArray<string>, readFile: ReadFile): ReadonlyArray<Export> => {
  const { body, source } = parse(file, readFile(file))
  const exports = body.flatMap((statement) =>
    declares(source, statement, names) ? readExport(source, statement, readFile) : []
  )
  for (const name of names) {
    if (!exports.some((found) => found.name === name)) throw new Error(`${file}: ${name} is not declared here`)
  }
  return exports
}

const declares = (source: Source, statement: Statement, names: ReadonlyArray<string>): boolean =>
  statement.type === "ExportNamedDeclaration" && statement.declaration !== null &&
  names.includes(nameOf(source, statement.declaration))

const nameOf = ({ text }: Source, declaration: Declaration): string => {
  const id = declaration.type === "VariableDeclaration" ? declaration.declarations[0]?.id : declaration.id
  return id?.type === "Identifier" ? id.name : text.slice(id?.start, id?.end)
}

const readDeclaration = (source: Source, declaration: Declaration): Omit<Export, "doc"> => {
  const { text } = source
  const whole = () => withoutInternal(source, declaration.start, declaration.end)
  switch (declaration.type) {
    case "TSInterfaceDeclaration":
      return { name: declaration.id.name, kind: "interface", signature: whole() }
    case "TSTypeAliasDeclaration":
      return { name: declaration.id.name, kind: "type", signature: whole() }
    case "TSModuleDeclaration":
      return { name: text.slice(declaration.id.start, declaration.id.end), kind: "namespace", signature: whole() }
    case "FunctionDeclaration":
    case "TSDeclareFunction":
      return {
        name: declaration.id?.name ?? "",
        kind: "function",
        signature: text.slice(declaration.start, declaration.body?.start ?? declaration.end).trim()
      }
    case "ClassDeclaration":
      return { name: declaration.id?.name ?? "", kind: "class", signature: classSignature(source, declaration) }
    case "VariableDeclaration": {
      const [variable] = declaration.declarations
      if (variable?.id.type !== "Identifier" || declaration.declarations.length !== 1) break
      const { name, typeAnnotation } = variable.id
      if (typeAnnotation) {
        const { end, start } = typeAnnotation.typeAnnotation
        // each overload repeats the docstring of the whole
        return { name, kind: "constant", signature: `const ${name}: ${withoutDocstrings(source, start, end)}` }
      }
      if (variable.init?.type === "ArrowFunctionExpression") {
        return { name, kind: "function", signature: `const ${name}: ${arrowType(source, variable.init)}` }
      }
      // a schema, a service key: what it is made from says more than its type
      return { name, kind: "constant", signature: text.slice(declaration.start, declaration.end) }
    }
  }
  throw new Error(`${place(source, declaration.start)}: cannot document this kind of export`)
}

const arrowType = (source: Source, arrow: ArrowFunctionExpression): string => {
  const { text } = source
  const { body, params, returnType, typeParameters } = arrow
  const generics = typeParameters ? text.slice(typeParameters.start, typeParameters.end) : ""
  const parameters = params.map((param) => parameterType(source, param))
  const result = returnType
    ? text.slice(returnType.typeAnnotation.start, returnType.typeAnnotation.end)
    : body.type === "ArrowFunctionExpression"
    ? arrowType(source, body)
    : undefined
  if (result === undefined) {
    throw new Error(`${place(source, arrow.start)}: an exported function states what it returns`)
  }
  const oneLine = `${generics}(${parameters.join(", ")}) => ${result}`
  return oneLine.length <= 100 && !oneLine.includes("\n")
    ? oneLine
    : `${generics}(${parameters.map((parameter) => `\n  ${parameter}`).join(",")}\n) => ${result}`
}

/** A parameter with a default value is optional to the caller. */
const parameterType = (source: Source, param: ParamPattern): string => {
  const { text } = source
  if (param.type !== "AssignmentPattern") return text.slice(param.start, param.end)
  const { left } = param
  if (left.type !== "Identifier" || !left.typeAnnotation) {
    throw new Error(`${place(source, param.start)}: an exported function states what it takes`)
  }
  return `${left.name}?${text.slice(left.typeAnnotation.start, left.typeAnnotation.end)}`
}

/** The class with its public members. Overridden ones are what the superclass says they are. */
const classSignature = (source: Source, declaration: Class): string => {
  const { text } = source
  const header = text.slice(declaration.start, declaration.body.start).trim()
  const members = declaration.body.body.flatMap((member) => {
    if (member.type === "StaticBlock" || member.type === "TSIndexSignature") return []
    const hidden = member.key.type === "PrivateIdentifier" || member.accessibility === "private" || member.override
    const comment = docstringBefore(source, member.start)
    if (hidden || isInternal(comment)) return []
    const typeEnd = "typeAnnotation" in member ? member.typeAnnotation?.end : undefined
    const bodyStart = "kind" in member ? member.value.body?.start : undefined
    const end = typeEnd ?? bodyStart ?? member.end
    return `  ${text.slice(comment?.start ?? member.start, end).trim()}`
  })
  return members.length === 0 ? header : `${header} {\n${members.join("\n")}\n}`
}

const isDocstring = (comment: Comment): boolean => comment.type === "Block" && comment.value.startsWith("*")

const isInternal = (comment: Comment | undefined): boolean =>
  comment !== undefined && parseDocstring(comment.value).tags.has("internal")

const docstringBefore = ({ comments, text }: Source, start: number): Comment | undefined =>
  comments.findLast((comment) => comment.end <= start && text.slice(comment.end, start).trim() === "")

const docstringsIn = ({ comments }: Source, start: number, end: number): ReadonlyArray<Comment> =>
  comments.filter((comment) => comment.start >= start && comment.end <= end)

const withoutDocstrings = (source: Source, start: number, end: number): string =>
  cut(source.text, start, end, docstringsIn(source, start, end))

/** Leaves out members marked `@internal`, which `stripInternal` leaves out of the published types. */
const withoutInternal = (source: Source, start: number, end: number): string =>
  cut(
    source.text,
    start,
    end,
    docstringsIn(source, start, end).filter(isInternal).map((comment) => ({
      start: comment.start,
      // a member of an interface ends with its line
      end: source.text.indexOf("\n", source.text.slice(comment.end).search(/\S/) + comment.end)
    }))
  )

interface Range {
  readonly start: number
  readonly end: number
}

/** The text from `start` to `end` without some ranges and the white space before each. */
const cut = (text: string, start: number, end: number, ranges: ReadonlyArray<Range>): string => {
  const parts: Array<string> = []
  let from = start
  for (const range of ranges) {
    parts.push(text.slice(from, range.start).trimEnd())
    from = range.end
  }
  return parts.join("") + text.slice(from, end)
}

/** Splits a docstring into its Markdown and the tags at its end. A tag goes on until the next one. */
const parseDocstring = (value: string): Docstring => {
  const content = value.split("\n").map((line) => line.replace(/^\s*\*? ?/, "").trimEnd()).join("\n").trim()
  const firstTag = content.search(/^@\w/m)
  if (firstTag === -1) return { text: content, tags: new Map() }
  const tags = new Map<string, Array<string>>()
  for (const [, name = "", text = ""] of content.slice(firstTag).matchAll(/^@(\w+)((?:.|\n(?!@\w))*)/gm)) {
    tags.set(name, [...tags.get(name) ?? [], text.trim().replaceAll("\n", " ")])
  }
  return { text: content.slice(0, firstTag).trim(), tags }
}

const place = ({ file, text }: Source, position: number): string =>
  `${file}:${text.slice(0, position).split("\n").length}`

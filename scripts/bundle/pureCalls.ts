/**
 * Marks the calls that a module makes when it is evaluated as pure, so that a
 * bundler drops those whose result nothing uses, and so the classes with a member
 * whose name is computed. The packages say that their modules have no side
 * effects; but that drops whole files, and what is published has many modules in
 * one.
 */
import MagicString from "magic-string"
import { type BindingIdentifier, type Class, type Node, parseSync, type Program, type Statement } from "oxc-parser"
import type { Plugin } from "rolldown"

const mark = "/*#__PURE__*/ "

export const parse = (file: string, code: string): Program => {
  const { errors, program } = parseSync(file, code)
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]!.message}`)
  return program
}

/** Where calls begin that are made when the module is evaluated. */
export const pureCalls = ({ body }: Program): ReadonlyArray<number> => {
  const starts = new Set<number>()
  for (const statement of body) visitStatement(statement, starts)
  return Array.from(starts)
}

/**
 * The classes of a module with a member whose name is computed, which may do
 * anything as far as a bundler knows: it would keep them, and all that they use.
 */
export const computedClasses = ({ body }: Program): ReadonlyArray<Class & { readonly id: BindingIdentifier }> =>
  body.flatMap((statement) => {
    const declared = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement
    if (declared?.type !== "ClassDeclaration" || declared.id === null) return []
    const { body: { body: members }, id } = declared
    return members.some((member) => "computed" in member && member.computed) ? [{ ...declared, id }] : []
  })

const visitStatement = (statement: Statement, starts: Set<number>): void => {
  switch (statement.type) {
    case "VariableDeclaration":
      for (const { init } of statement.declarations) visit(init, starts)
      return
    case "ClassDeclaration":
      return visitClass(statement, starts)
    case "ExportNamedDeclaration":
      if (statement.declaration !== null) visitStatement(statement.declaration, starts)
      return
    // an expression that is a statement is there for its effect
    default:
      return
  }
}

/** What a class evaluates when it is defined: what it extends, and its static fields. */
const visitClass = ({ body, superClass }: Class, starts: Set<number>): void => {
  visit(superClass, starts)
  for (const member of body.body) {
    if (member.type === "PropertyDefinition" && member.static) visit(member.value, starts)
  }
}

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && "type" in value

const visit = (value: unknown, starts: Set<number>): void => {
  if (Array.isArray(value)) {
    for (const one of value) visit(one, starts)
    return
  }
  if (!isNode(value)) return
  switch (value.type) {
    case "FunctionExpression":
    case "ArrowFunctionExpression":
      return
    case "ClassExpression":
      return visitClass(value, starts)
    case "CallExpression":
    case "NewExpression":
      starts.add(value.start)
  }
  for (const child of Object.values(value)) visit(child, starts)
}

export const markPureCalls: Plugin = {
  name: "mark-pure-calls",
  transform: {
    filter: { id: /\.ts$/ },
    handler(code, file) {
      const marked = new MagicString(code)
      const program = parse(file, code)
      for (const start of pureCalls(program)) marked.appendLeft(start, mark)
      for (const { end, id, start } of computedClasses(program)) {
        marked.appendLeft(start, `const ${id.name} = ${mark}(() => `)
        marked.appendRight(end, ")()")
      }
      return { code: marked.toString(), map: marked.generateMap({ hires: "boundary" }) }
    }
  }
}

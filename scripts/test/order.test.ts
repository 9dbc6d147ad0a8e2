/**
 * The order within a file: constants above, helpers below their first use. So a
 * reader goes down, and seldom back.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type Expression, type Node, parseSync, type Statement } from "oxc-parser"
import { publicPackages } from "../publicModules.ts"

const root = Path.resolve(import.meta.dirname, "../..")

interface Declared {
  readonly name: string
  readonly kind: "helper" | "constant"
  readonly start: number
  readonly end: number
}

interface Use {
  readonly name: string
  readonly at: number
  /** Made when the module is evaluated. */
  readonly atOnce: boolean
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string"

const isFunction = (init: Expression): boolean =>
  init.type === "ArrowFunctionExpression" || init.type === "FunctionExpression" ||
  (init.type === "CallExpression" && init.arguments.length === 1 &&
    init.callee.type === "MemberExpression" && init.callee.property.type === "Identifier" &&
    init.callee.property.name === "fnUntraced")

/** A value that is written out, and made of no other. */
const isWrittenOut = (node: Node): boolean => {
  switch (node.type) {
    case "Literal":
      return true
    case "TemplateLiteral":
      return node.expressions.length === 0
    case "UnaryExpression":
      return isWrittenOut(node.argument)
    case "BinaryExpression":
      return isWrittenOut(node.left) && isWrittenOut(node.right)
    case "ArrayExpression":
      return node.elements.every((element) => element !== null && isWrittenOut(element))
    case "ObjectExpression":
      return node.properties.every((property) => property.type === "Property" && isWrittenOut(property.value))
    case "NewExpression":
      return node.callee.type === "Identifier" && ["Set", "Map", "Error"].includes(node.callee.name) &&
        node.arguments.every(isWrittenOut)
    case "TSAsExpression":
    case "TSSatisfiesExpression":
      return isWrittenOut(node.expression)
    default:
      return false
  }
}

/** What a module keeps to itself: its helpers and constants. */
const declared = (statement: Statement): ReadonlyArray<Declared> => {
  if (statement.type === "FunctionDeclaration" && statement.id !== null) {
    return [{ name: statement.id.name, kind: "helper", start: statement.start, end: statement.end }]
  }
  if (statement.type !== "VariableDeclaration") return []
  return statement.declarations.flatMap(({ id, init }) => {
    if (id.type !== "Identifier" || init === null) return []
    const kind = isFunction(init) ? "helper" : isWrittenOut(init) ? "constant" : undefined
    return kind === undefined ? [] : [{ name: id.name, kind, start: statement.start, end: statement.end }]
  })
}

const deferring = new Set([
  "ArrowFunctionExpression",
  "FunctionExpression",
  "FunctionDeclaration",
  "MethodDefinition",
  "PropertyDefinition"
])

/** Where names stand for values: not those of members, and none in types. */
const usesIn = (node: Node, atOnce = true): ReadonlyArray<Use> => {
  if (node.type.startsWith("TS") && !("expression" in node)) return []
  if (node.type === "Identifier") return [{ name: node.name, at: node.start, atOnce }]
  const inner = atOnce && !deferring.has(node.type)
  return Object.entries(node).flatMap(([key, value]: [string, unknown]) => {
    const named = (key === "property" || key === "key") && !("computed" in node && node.computed === true)
    if (named) return []
    return (Array.isArray(value) ? value : [value]).filter(isNode).flatMap((child) => usesIn(child, inner))
  })
}

/** What stands out of order in a file. */
const outOfOrder = (file: string, text: string): ReadonlyArray<string> => {
  const { errors, program } = parseSync(file, text)
  assert.deepStrictEqual(errors, [])
  const uses = program.body.flatMap((statement) => usesIn(statement))
  return program.body.flatMap(declared).flatMap(({ end, kind, name, start }) => {
    const used = uses.filter((use) => use.name === name && (use.at < start || use.at > end))
    const above = used.some(({ at }) => at < start)
    if (kind === "constant") return above ? [`${file}: the constant ${name} stands below its use`] : []
    // a module cannot call a function that is a constant before it is evaluated
    return used.length === 0 || above || used.some(({ atOnce }) => atOnce)
      ? []
      : [`${file}: the helper ${name} stands above its first use`]
  })
}

describe("the order within a file", () => {
  it("is seen", () => {
    assert.deepStrictEqual(
      outOfOrder(
        "file.ts",
        `
const above = () => 1
const needed = (n: number) => n
const table = [needed(1)]
const limits = { first: 1, second: [2, 3] }
export const f = () => above() + below() + late + limits.first + table.length
function below(): number {
  return needed(2)
}
const late = 60 * 1000
const made = limits.first
`
      ),
      ["file.ts: the helper above stands above its first use", "file.ts: the constant late stands below its use"]
    )
  })

  it.each(publicPackages)("of packages/%s: constants above, helpers below their first use", (name) => {
    const files = Fs.globSync(`packages/${name}/src/**/*.ts`, { cwd: root })
    const wrong = files.flatMap((file) => outOfOrder(file, Fs.readFileSync(Path.join(root, file), "utf8")))
    assert.deepStrictEqual(wrong, [])
  })
})

import { assert, describe, it } from "@effect/vitest"
import { computedClasses, parse, pureCalls } from "../bundle/pureCalls.ts"

const marked = (code: string): string =>
  [...pureCalls(parse("module.ts", code))].sort((a, b) => b - a).reduce(
    (text, at) => `${text.slice(0, at)}◆${text.slice(at)}`,
    code
  )

describe("the calls of a module that are marked as pure", () => {
  it.each([
    ["a value", "const a = f(1)", "const a = ◆f(1)"],
    ["what is exported", "export const a = new A(g())", "export const a = ◆new A(◆g())"],
    ["calls of calls", "const a = f(1)(2).pipe(g())", "const a = ◆f(1)(2).pipe(◆g())"],
    [
      "what a class extends, and its static fields",
      "class A extends f() { static a = g(); b = h() }",
      "class A extends ◆f() { static a = ◆g(); b = h() }"
    ],
    [
      "not those in functions",
      "const a = () => f(); function b() { g() }",
      "const a = () => f(); function b() { g() }"
    ],
    ["not those that are statements", "f(); export const a = 1", "f(); export const a = 1"]
  ])("%s", (_, code, expected) => {
    assert.strictEqual(marked(code), expected)
  })
})

describe("the classes of a module that only a call keeps a bundler from keeping", () => {
  it.each<[string, string, ReadonlyArray<string>]>([
    ["a field whose name is computed", "class A { [a] = 1 }", ["A"]],
    ["a method or an accessor of such a name", "class A { [a]() {} } export class B { get [a]() { return 1 } }", [
      "A",
      "B"
    ]],
    ["not where names are written out", "class A { a = 1; b() {} }", []],
    [
      "not one within a function or an expression",
      "const a = () => { class A { [a] = 1 } }; const B = class { [a] = 1 }",
      []
    ]
  ])("%s", (_, code, expected) => {
    assert.deepStrictEqual(computedClasses(parse("module.ts", code)).map(({ id }) => id.name), expected)
  })
})

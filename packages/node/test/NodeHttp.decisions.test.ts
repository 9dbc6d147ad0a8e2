/** What HTTP's edges decide, without a socket. */
import { assert, describe, it } from "@effect/vitest"
import type * as Http from "node:http"
import { answerTo, type BadInputAction, isBadInput, onBadInput } from "../src/internal/http/protocols/badInput.ts"
import { FrameBudget } from "../src/internal/http/protocols/frameBudget.ts"
import { Pipeline, type Unanswered } from "../src/internal/http/protocols/http1Pipeline.ts"

describe("bad input", () => {
  const cells: ReadonlyArray<
    readonly [unanswered: boolean, incomplete: boolean, alone: boolean, headSent: boolean, BadInputAction]
  > = [
    // nothing to wait for
    [false, false, true, false, "Answer"],
    // the request that is bad is the only one
    [true, true, true, false, "Answer"],
    [true, true, true, true, "BreakOff"],
    // it has others before it
    [true, true, false, false, "AfterAnswers"],
    [true, true, false, true, "AfterAnswers"],
    // all that came before is whole
    [true, false, true, false, "AfterAnswers"],
    [true, false, true, true, "AfterAnswers"],
    [true, false, false, false, "AfterAnswers"],
    [true, false, false, true, "AfterAnswers"]
  ]
  it.each(cells)("unanswered %s, incomplete %s, alone %s, head sent %s: %s", (...cell) => {
    const [unanswered, incomplete, alone, headSent, action] = cell
    assert.strictEqual(onBadInput({ unanswered, incomplete, alone, headSent }), action)
  })

  it.each([
    ["HPE_HEADER_OVERFLOW", "431"],
    ["HPE_CHUNK_EXTENSIONS_OVERFLOW", "413"],
    ["ERR_HTTP_REQUEST_TIMEOUT", "408"],
    ["HPE_INVALID_METHOD", "400"],
    ["HPE_CLOSED_CONNECTION", undefined]
  ])("%s is answered %s", (code, status) => {
    assert.strictEqual(answerTo(code)?.split(" ")[1], status)
    assert.isTrue(isBadInput(code))
  })

  it("is not the failure of a socket", () => {
    assert.isFalse(isBadInput("ECONNRESET"))
    assert.isFalse(isBadInput(undefined))
  })
})

describe("a pipeline", () => {
  const named = (name: string): Unanswered => ({
    request: { url: name } as Http.IncomingMessage,
    response: {} as Http.ServerResponse,
    expectsContinue: false,
    since: 0,
    span: undefined,
    next: undefined
  })

  it("executes a limited number side by side, and the others in their order as answers go out", () => {
    const pipeline = new Pipeline()
    const executed = ["a", "b", "c", "d"].filter((name) => pipeline.push(named(name), 2))
    const take = () => pipeline.take(2)?.request.url
    assert.deepStrictEqual([executed, pipeline.full, take()], [["a", "b"], true, undefined])
    pipeline.shift()
    assert.deepStrictEqual([take(), take(), pipeline.full], ["c", undefined, true])
    pipeline.shift()
    assert.deepStrictEqual([take(), pipeline.full, pipeline.oldest?.request.url], ["d", false, "c"])
    pipeline.shift()
    pipeline.shift()
    assert.deepStrictEqual([pipeline.oldest, pipeline.newest, take()], [undefined, undefined, undefined])
    assert.isTrue(pipeline.push(named("e"), 1))
  })

  it("drops those that wait with those that end unanswered", () => {
    const pipeline = new Pipeline()
    for (const name of ["a", "b", "c"]) pipeline.push(named(name), 1)
    for (let i = 0; i < 3; i++) pipeline.shift()
    assert.deepStrictEqual([pipeline.full, pipeline.oldest], [false, undefined])
    assert.isTrue(pipeline.push(named("d"), 1))
    assert.isFalse(pipeline.push(named("e"), 1))
  })
})

describe("a budget of frames", () => {
  const spend = (budget: FrameBudget, now: number): number => {
    let taken = 0
    while (budget.take(now)) taken++
    return taken
  }

  it("is 1,000 at once, and 33 more a second, up to 1,000", () => {
    const budget = new FrameBudget(0)
    assert.deepStrictEqual([spend(budget, 0), spend(budget, 2000), spend(budget, 10_000_000)], [1000, 66, 1000])
  })
})

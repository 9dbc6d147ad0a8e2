import { assert, describe, it } from "@effect/vitest"
import { total, WorkerMetrics } from "../src/internal/inspector/workerMetrics.ts"

const exposition = (slot: number, accepted: number, open: number) => ({
  slot,
  text: [
    "# HELP accepted what was let in",
    "# TYPE accepted counter",
    `accepted{listener="http",path="a b,}\\"c"} ${accepted}`,
    "# TYPE open gauge",
    `open ${open}`,
    "# TYPE seconds histogram",
    `seconds_bucket{le="+Inf"} ${accepted}`,
    `seconds_sum ${accepted / 2}`,
    `seconds_count ${accepted}`,
    "# TYPE size summary",
    `size{quantile="0.5"} ${open}`,
    `size_sum ${accepted}`,
    `size_count ${accepted}`,
    ""
  ].join("\n")
})

const series = (text: string): Record<string, string> =>
  Object.fromEntries(
    text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) => {
      const at = line.lastIndexOf(" ")
      return [line.slice(0, at), line.slice(at + 1)]
    })
  )

describe("the metrics of workers", () => {
  it("each series has its worker, and each family is there once", () => {
    const text = new WorkerMetrics().format([exposition(0, 3, 1), exposition(1, 4, 2)])
    assert.strictEqual(text.match(/# TYPE accepted counter/g)?.length, 1)
    assert.match(text, /# HELP accepted what was let in\n# TYPE accepted counter\n/)
    assert.strictEqual(series(text)["accepted{worker=\"0\",listener=\"http\",path=\"a b,}\\\"c\"}"], "3")
    assert.strictEqual(series(text)["accepted{worker=\"1\",listener=\"http\",path=\"a b,}\\\"c\"}"], "4")
    assert.strictEqual(series(text)["open{worker=\"1\"}"], "2")
    assert.strictEqual(text.at(-1), "\n")
  })

  it("two processes of one slot add up", () => {
    const seen = series(new WorkerMetrics().format([exposition(0, 3, 1), exposition(0, 4, 2)]))
    assert.strictEqual(seen["open{worker=\"0\"}"], "3")
    assert.strictEqual(seen["seconds_bucket{worker=\"0\",le=\"+Inf\"}"], "7")
    assert.strictEqual(seen["seconds_sum{worker=\"0\"}"], "3.5")
    assert.strictEqual(seen["size{worker=\"0\",quantile=\"0.5\"}"], "2")
    assert.strictEqual(seen["size_count{worker=\"0\"}"], "7")
  })

  it("what those that have ended counted stays, and what was so goes", () => {
    const metrics = new WorkerMetrics()
    metrics.retire(exposition(0, 3, 1))
    metrics.retire(exposition(0, 2, 1))
    const alone = series(metrics.format([]))
    assert.strictEqual(alone["seconds_count{worker=\"0\"}"], "5")
    assert.isUndefined(alone["open{worker=\"0\"}"])
    assert.isUndefined(alone["size{worker=\"0\",quantile=\"0.5\"}"])
    const after = series(metrics.format([exposition(0, 10, 4)]))
    assert.strictEqual(after["seconds_count{worker=\"0\"}"], "15")
    assert.strictEqual(after["open{worker=\"0\"}"], "4")
    // asking changes nothing
    assert.strictEqual(series(metrics.format([]))["seconds_count{worker=\"0\"}"], "5")
  })

  it("infinite values and text that is none of it", () => {
    const metrics = new WorkerMetrics()
    assert.strictEqual(metrics.format([]), "")
    assert.strictEqual(metrics.format([{ slot: 0, text: "nonsense\n# also\n" }]), "")
    assert.match(
      metrics.format([{ slot: 0, text: "# TYPE a gauge\na +Inf\nb -Inf\n" }]),
      /a\{worker="0"\} \+Inf\nb\{worker="0"\} -Inf/
    )
  })

  it("a total over all labels", () => {
    assert.strictEqual(total("# TYPE a counter\na{b=\"1\"} 2\na{b=\"2\"} 3\n# TYPE b counter\nb 9\n", "a"), 5)
  })
})

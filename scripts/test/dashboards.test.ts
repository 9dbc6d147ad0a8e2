/** The dashboard and the alert rules, by the parsers of the programs that read them. */
import * as ListenerMetrics from "@effect-listener/core/ListenerMetrics"
import { assert, describe, it } from "@effect/vitest"
import { parser } from "@prometheus-io/lezer-promql"
import * as Metric from "effect/Metric"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Yaml from "yaml"

const folder = Path.resolve(import.meta.dirname, "../../dashboards")
const read = (file: string): string => Fs.readFileSync(Path.join(folder, file), "utf8")

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: Record<string, string>
  readonly annotations: Record<string, string>
}

// the tests below say of each part whether it is as this has it
const { groups } = Yaml.parse(read("alerts.yml")) as {
  readonly groups: ReadonlyArray<{ readonly rules: ReadonlyArray<Rule> }>
}
const rules = groups.flatMap((group) => group.rules)

/** Where a query cannot be read; `undefined` where it can. */
const unreadable = (query: string): string | undefined => {
  let at: string | undefined
  parser.parse(query).iterate({
    enter: ({ from, type }) => {
      if (type.isError) at ??= query.slice(from, from + 30)
    }
  })
  return at
}

/** Every query of the dashboard, with the variables of Grafana filled in. */
const queries = (at: unknown): ReadonlyArray<string> =>
  Array.isArray(at)
    ? at.flatMap(queries)
    : typeof at === "object" && at !== null
    ? Object.entries(at).flatMap(([key, value]) =>
      typeof value === "string" && key === "expr" ? [value.replaceAll("$__rate_interval", "1m")] : queries(value)
    )
    : []

const metrics = new Set(
  Object.values(ListenerMetrics).flatMap((metric) => Metric.isMetric(metric) ? [metric.id] : [])
)

describe("alerts.yml", () => {
  it("has a rule for what was cut, a queue that grows, a limit that is near, and a drain near its deadline", () => {
    const alerts = rules.map(({ alert }) => alert)
    for (
      const due of ["ListenerCutConnections", "ListenerQueueGrowing", "ListenerNearLimit", "ListenerDrainNearDeadline"]
    ) {
      assert.include(alerts, due)
    }
    assert.strictEqual(new Set(alerts).size, alerts.length)
  })

  it.each(rules)("$alert asks for metrics that exist, and says what to do", ({ annotations, expr, labels }) => {
    assert.isUndefined(unreadable(expr))
    for (const [name] of expr.matchAll(/\blistener_[a-z_]+/g)) assert.isTrue(metrics.has(name), name)
    assert.include(["warning", "critical"], labels["severity"])
    assert.isDefined(annotations["summary"])
    assert.isDefined(annotations["description"])
    assert.isTrue(Fs.existsSync(Path.resolve(folder, "..", annotations["runbook"] ?? "nowhere")))
  })

  it("comes when it should, and not before", { tags: ["promtool"] }, () => {
    const promtool = (...args: ReadonlyArray<string>): string =>
      execFileSync("promtool", args, { cwd: folder, encoding: "utf8" })
    assert.include(promtool("check", "rules", "alerts.yml"), `SUCCESS: ${rules.length} rules found`)
    assert.include(promtool("test", "rules", "alerts.test.yml"), "SUCCESS")
  })
})

describe("listener.json", () => {
  const dashboard: unknown = JSON.parse(read("listener.json"))

  it("has queries that Prometheus can read", () => {
    const found = queries(dashboard)
    assert.isAbove(found.length, 20)
    assert.deepStrictEqual(found.filter((query) => unreadable(query) !== undefined), [])
    assert.isDefined(unreadable("sum by (listener (listener_ready)"))
  })

  it("has a panel for each instance", () => {
    assert.match(JSON.stringify(dashboard), /"repeat":"instance"/)
  })
})

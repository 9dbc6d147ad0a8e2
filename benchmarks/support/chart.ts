import * as Echarts from "echarts"

export interface Bar {
  readonly who: string
  readonly median: number
  readonly low: number
  readonly high: number
}

const colors: Record<string, string> = { ours: "#2563eb", bare: "#64748b" }

/** Bars of medians, with the middle half of the rounds drawn over each, as SVG. */
export const barChart = (title: string, bars: ReadonlyArray<Bar>): string => {
  const chart = Echarts.init(null, null, { renderer: "svg", ssr: true, width: 640, height: 84 + 34 * bars.length })
  // the first category is at the bottom
  const rows = bars.toReversed()
  const medians: Echarts.BarSeriesOption = {
    type: "bar",
    barMaxWidth: 18,
    data: rows.map(({ median, who }) => ({ value: median, itemStyle: { color: colors[who] ?? "#94a3b8" } })),
    label: { show: true, position: "insideLeft", color: "#ffffff", formatter: ({ value }) => label(Number(value)) }
  }
  const spread: Echarts.CustomSeriesOption = {
    type: "custom",
    data: rows.map(({ high, low }, row) => [row, low, high]),
    encode: { x: [1, 2], y: 0 },
    renderItem: (_params, api) => {
      const [x1 = 0, y = 0] = api.coord([Number(api.value(1)), Number(api.value(0))])
      const [x2 = 0] = api.coord([Number(api.value(2)), Number(api.value(0))])
      const style = { stroke: "#0f172a", lineWidth: 1.5 }
      const ends = [[x1, y, x2, y], [x1, y - 4, x1, y + 4], [x2, y - 4, x2, y + 4]] as const
      return {
        type: "group",
        children: ends.map(([x1, y1, x2, y2]) => ({ type: "line", shape: { x1, y1, x2, y2 }, style }))
      }
    }
  }
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    title: { text: title, left: 12, top: 8, textStyle: { fontSize: 14 } },
    grid: { left: 130, right: 32, top: 44, bottom: 30 },
    xAxis: { type: "value", min: 0 },
    yAxis: { type: "category", data: rows.map(({ who }) => who), axisTick: { show: false } },
    series: [medians, spread]
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  return `${svg}\n`
}

export interface Line {
  readonly who: string
  readonly points: ReadonlyArray<readonly [x: number, y: number]>
}

/** Lines over a common axis, as SVG. */
export const lineChart = (title: string, lines: ReadonlyArray<Line>): string => {
  const chart = Echarts.init(null, null, { renderer: "svg", ssr: true, width: 760, height: 340 })
  const series = lines.map(({ points, who }): Echarts.LineSeriesOption => ({
    type: "line",
    name: who,
    data: points.map(([x, y]) => [x, y]),
    showSymbol: false,
    lineStyle: { width: 1.5 }
  }))
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    color: ["#dc2626", "#f59e0b", "#64748b", "#2563eb"],
    title: { text: title, left: 12, top: 8, textStyle: { fontSize: 14 } },
    legend: { bottom: 4 },
    grid: { left: 64, right: 24, top: 44, bottom: 56 },
    xAxis: { type: "value", min: 0, max: "dataMax" },
    yAxis: { type: "value", min: 0 },
    series
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  return `${svg}\n`
}

const label = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(3))

/**
 * The metrics of several processes as those of one program, in Prometheus' text
 * format: each series has the label `worker`, the number of its slot, and adds up
 * what the processes of that slot have counted, those that have ended included.
 * So counters never fall when a worker is replaced, and no label grows with the
 * number of processes.
 */

interface Sample {
  readonly name: string
  /** The labels as they are written, without braces. */
  readonly labels: string
  readonly value: number
}

interface Family {
  readonly name: string
  readonly type: string
  readonly help: string | undefined
  readonly samples: Array<Sample>
}

/** What one process has said of itself. */
export interface Exposition {
  readonly slot: number
  readonly text: string
}

/** Adds up what workers expose, and keeps what those that have ended had counted. */
export class WorkerMetrics {
  private readonly ended = new Map<string, MergedFamily>()

  /** Keeps what a worker had counted when it ended. */
  retire(exposition: Exposition): void {
    for (const family of parse(exposition.text)) {
      const samples = family.samples.filter((sample) => isCumulative(family, sample))
      if (samples.length > 0) add(this.ended, { ...family, samples }, exposition.slot)
    }
  }

  /** All of it, with what those that run expose now. */
  format(running: ReadonlyArray<Exposition>): string {
    const all = new Map<string, MergedFamily>()
    for (const [name, { family, sums }] of this.ended) all.set(name, { family, sums: new Map(sums) })
    for (const { slot, text } of running) for (const family of parse(text)) add(all, family, slot)
    const lines: Array<string> = []
    for (const { family: { help, name, type }, sums } of all.values()) {
      if (help !== undefined) lines.push(`# HELP ${name} ${help}`)
      lines.push(`# TYPE ${name} ${type}`)
      for (const [series, value] of sums) lines.push(`${series} ${formatValue(value)}`)
    }
    return lines.length === 0 ? "" : `${lines.join("\n")}\n`
  }
}

/** The sum of all series of a metric, whatever their labels are. */
export const total = (text: string, name: string): number => {
  let sum = 0
  for (const family of parse(text)) {
    if (family.name === name) { for (const { value } of family.samples) sum += value }
  }
  return sum
}

interface MergedFamily {
  readonly family: Omit<Family, "samples">
  readonly sums: Map<string, number>
}

const add = (all: Map<string, MergedFamily>, { help, name, samples, type }: Family, slot: number): void => {
  let merged = all.get(name)
  if (merged === undefined) all.set(name, merged = { family: { help, name, type }, sums: new Map() })
  for (const sample of samples) {
    const worker = `worker="${slot}"`
    const series = `${sample.name}{${sample.labels === "" ? worker : `${worker},${sample.labels}`}}`
    const before = merged.sums.get(series) ?? 0
    // quantiles of several processes have no sum: the last one speaks
    merged.sums.set(series, isQuantile(sample) ? sample.value : before + sample.value)
  }
}

/** What has been counted stays counted; what is so now goes with the process. */
const isCumulative = ({ type }: Family, sample: Sample): boolean =>
  type === "counter" || type === "histogram" || (type === "summary" && !isQuantile(sample))

const isQuantile = ({ labels }: Sample): boolean => /(?:^|,)quantile="/.test(labels)

/** Text that is no sample is passed over: what is read is what Effect has written. */
const parse = (text: string): ReadonlyArray<Family> => {
  const families: Array<Family> = []
  let help: { readonly name: string; readonly text: string } | undefined
  for (const line of text.split("\n")) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line)
    if (comment !== null) {
      const [, kind, name = "", rest = ""] = comment
      if (kind === "HELP") help = { name, text: rest }
      else families.push({ name, type: rest, help: help?.name === name ? help.text : undefined, samples: [] })
      continue
    }
    const sample = /^([^\s{]+)(?:\{(.*)\})? (\S+)$/.exec(line)
    const [, name = "", labels = "", value = ""] = sample ?? []
    if (sample !== null) families.at(-1)?.samples.push({ name, labels, value: parseValue(value) })
  }
  return families
}

const parseValue = (text: string): number => text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : Number(text)

const formatValue = (value: number): string =>
  value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value)

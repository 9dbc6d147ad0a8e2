/**
 * The demo: a listener is closed under load, and what its clients lost is
 * counted and compared with bare `node:net` and with Effect's own socket server.
 *
 * Every figure is counted from the clients' side in this run, but for the exit
 * code and the report. It exits 0 when ours are as promised, else 1.
 */
import * as DrainReport from "@effect-listener/core/DrainReport"
import * as Schema from "effect/Schema"
import { styleText } from "node:util"
import * as Load from "./load.ts"
import * as Replacement from "./replacement.ts"
import { clients, type Figures as Replaced } from "./replacementLoad.ts"
import * as ServerProcess from "./serverProcess.ts"

const deadline = 5000
const abortGrace = 1000
/** What a machine that is busy with other things may add. */
const margin = 2000

interface Run {
  readonly figures: Load.Figures
  readonly exitCode: number | undefined
  readonly report: DrainReport.DrainReport | undefined
}

/** Where a close stands, in an entry of the log. */
const progress = /(?:lame duck|sweeping|draining|aborting) \d[^{]*/

/** Starts a server, closes it under load, and shows the progress it logs meanwhile. */
const measure = async (file: string, killAfter: number): Promise<Run> => {
  const server = await ServerProcess.start(new URL(file, import.meta.url), {
    env: { DRAIN_DEADLINE_MS: String(deadline) },
    onLog: (line) => {
      const standing = progress.exec(line)?.[0]
      if (standing !== undefined) show(standing.trimEnd())
    }
  })
  try {
    const figures = await Load.run(server, killAfter)
    const closed = server.events.find((event) => event["event"] === "closed")
    const report = closed === undefined
      ? undefined
      : Schema.decodeUnknownSync(DrainReport.DrainReport)(closed["report"])
    return { figures, report, exitCode: server.exitCode() }
  } finally {
    await server.kill()
  }
}

// --- what is promised of ours ---------------------------------------------------------------------------------------

interface Promised {
  readonly figure: string
  readonly promised: string
  readonly measured: string
  readonly kept: boolean
}

const promises = ({ exitCode, figures, report }: Run): ReadonlyArray<Promised> => {
  const count = (figure: string, measured: number, promised: number): Promised => ({
    figure,
    promised: String(promised),
    measured: String(measured),
    kept: measured === promised
  })
  const latest = deadline + abortGrace + margin
  const { firstAnswerAt, lastIdleEndAt, neverEnder, took } = figures
  const named = report?.cut.map((info) => info.remote) ?? []
  return [
    count("in-flight exchanges answered", figures.inFlightAnswered, Load.size.inFlight),
    count("idle connections ended by a clean FIN", figures.idleEnded, Load.size.idle),
    {
      figure: "idle connections ended before the first exchange in flight",
      promised: "yes",
      measured: `${seconds(lastIdleEndAt)} and ${seconds(firstAnswerAt)}`,
      kept: lastIdleEndAt !== undefined && firstAnswerAt !== undefined && lastIdleEndAt < firstAnswerAt
    },
    count("bytes of the slow download", figures.downloaded, Load.size.download),
    count("clients served that connected while the event loop was blocked", figures.servedWhileBlocked, Load.size.late),
    {
      figure: "end of the client whose exchange never ends",
      promised: `the deadline, ${seconds(deadline)}`,
      measured: seconds(neverEnder.endedAt),
      kept: neverEnder.endedAt !== undefined && neverEnder.endedAt >= deadline && neverEnder.endedAt <= latest
    },
    {
      figure: "connections named as cut",
      promised: `the one, ${neverEnder.address}`,
      measured: named.length > 1 ? String(named.length) : named[0] ?? "none",
      kept: named.length === 1 && named[0] === neverEnder.address
    },
    {
      figure: "time to close",
      promised: `at most ${seconds(latest)}`,
      measured: seconds(took),
      kept: took !== undefined && took <= latest
    },
    count("exit code", exitCode ?? -1, 124)
  ]
}

const replacementPromises = ({ hung, refused, reset }: Replaced): ReadonlyArray<Promised> =>
  Object.entries({ refused, reset, hung }).map(([what, measured]) => ({
    figure: `requests ${what} by a replacement`,
    promised: "0",
    measured: String(measured),
    kept: measured === 0
  }))

// --- what a person sees ---------------------------------------------------------------------------------------------

const live = process.stdout.isTTY
const print = (line = ""): void => console.log(line === "" ? "" : `  ${line}`)
const show = (line: string): void => {
  if (live) process.stdout.write(`\r\u001b[2K    ${styleText("dim", line)}`)
  else print(`  ${line}`)
}
const clear = (): void => {
  if (live) process.stdout.write("\r\u001b[2K")
}

const seconds = (ms: number | undefined): string => ms === undefined ? "never" : `${(ms / 1000).toFixed(1)} s`
const mebibytes = (bytes: number): number => Math.floor(bytes / 1024 / 1024)

/** A cell of the table, and whether it is as one would wish. */
type Cell = readonly [text: string, good: boolean]

const outOf = (count: number, all: number, unit = ""): Cell => [
  count === all ? `${count}${unit}` : `${count}${unit}, ${all - count}${unit} lost`,
  count === all
]

const closed: Rows<Run> = [
  [
    `${Load.size.inFlight} in flight: answered`,
    ({ figures }) => outOf(figures.inFlightAnswered, Load.size.inFlight)
  ],
  [
    `${Load.size.late} while blocked: served`,
    ({ figures }) => outOf(figures.servedWhileBlocked, Load.size.late)
  ],
  [
    `${mebibytes(Load.size.download)} MiB read slowly`,
    ({ figures }) => outOf(mebibytes(figures.downloaded), mebibytes(Load.size.download), " MiB")
  ],
  [
    `${Load.size.idle} idle: ended by a FIN`,
    ({ figures }) =>
      figures.idleEnded === Load.size.idle
        ? [`${figures.idleEnded}, at ${seconds(figures.lastIdleEndAt)}`, true]
        : [`${figures.idleEnded}, ${Load.size.idle - figures.idleEnded} kept`, false]
  ],
  [
    "1 that never ends",
    ({ figures: { neverEnder }, report }) =>
      neverEnder.endedAt === undefined
        ? ["waited for", false]
        : [`cut at ${seconds(neverEnder.endedAt)}, ${report === undefined ? "unnamed" : "named"}`, report !== undefined]
  ],
  [
    "the server ended",
    ({ exitCode, figures }) =>
      figures.took === undefined ? ["did not end", false] : [`at ${seconds(figures.took)}, code ${exitCode}`, true]
  ]
]

type Rows<A> = ReadonlyArray<readonly [label: string, cell: (run: A) => Cell]>

const table = <A>(rows: Rows<A>, runs: ReadonlyArray<readonly [name: string, run: A]>): void => {
  const cells = rows.map(([, cell]) => runs.map(([, run]) => cell(run)))
  const labels = Math.max(...rows.map(([label]) => label.length))
  const widths = runs.map(([name], i) => Math.max(name.length, ...cells.map((row) => row[i]?.[0].length ?? 0)))
  const line = (label: string, texts: ReadonlyArray<string>, style: (text: string, i: number) => string): void =>
    print(
      [label.padEnd(labels), ...texts.map((text, i) => style(text.padEnd(widths[i] ?? 0), i))].join("   ").trimEnd()
    )
  line("", runs.map(([name]) => name), (text) => styleText("bold", text))
  rows.forEach(([label], row) =>
    line(
      label,
      cells[row]?.map(([text]) => text) ?? [],
      (text, i) => styleText(cells[row]?.[i]?.[1] === true ? "green" : "red", text)
    )
  )
}

const none = (count: number): Cell => [String(count), count === 0]

const replaced: Rows<Replaced> = [
  ["requests answered", ({ answered }) => [String(answered), true]],
  ["refused", ({ refused }) => none(refused)],
  ["reset or lost", ({ reset }) => none(reset)],
  ["hung", ({ hung }) => none(hung)],
  ["longest wait for an answer", ({ longestWait }) => [seconds(longestWait), longestWait < 1000]]
]

// --- the demo -------------------------------------------------------------------------------------------------------

print()
print(`SIGTERM to a server with ${Load.size.inFlight} exchanges in flight, ${Load.size.idle} idle connections, a slow`)
print(`reader of ${mebibytes(Load.size.download)} MiB, an exchange that never ends, and ${Load.size.late} clients that`)
print(`connected while its event loop was blocked. It has ${deadline / 1000} s to close.`)
print()
const ours = await measure("./listenerServer.ts", deadline + abortGrace + margin)
clear()
if (!live) print()
const reported = ours.report === undefined ? ["no report"] : DrainReport.format(ours.report).split("\n")
for (const line of reported.slice(0, 8)) print(line)
if (reported.length > 8) print(`  … and ${reported.length - 8} more`)
print()
print("The same load, closed by effect-listener, by server.close() of bare node:net, and")
print("by Effect's own NodeSocketServer. Times count from SIGTERM.")
print()
if (live) show("running the other two …")
const bare = await measure("./bareServer.ts", deadline)
const effect = await measure("./effectServer.ts", deadline)
clear()
table(closed, [["effect-listener", ours], ["bare node:net", bare], ["NodeSocketServer", effect]])
print()

print(`Replaced by a new version while ${clients} clients ask without pause, half of them on new`)
print("connections: workers of ours, workers of node:cluster with Effect's NodeHttpServer, and the")
print("same server stopped and started again. What has not ended after 1.6 s is killed there.")
print()
if (live) show("replacing …")
const workers = await Replacement.workers()
const [cluster, restarted] = await Promise.all([Replacement.cluster(), Replacement.stopAndStart()])
clear()
table(replaced, [["effect-listener", workers], ["node:cluster", cluster], ["stop and start", restarted]])
print()

const broken = [...promises(ours), ...replacementPromises(workers)].filter(({ kept }) => !kept)
if (broken.length === 0) print("Ours is as promised; every figure was counted from the clients' side in this run.")
for (const { figure, measured, promised } of broken) {
  print(styleText("red", `NOT AS PROMISED: ${figure}: ${measured} instead of ${promised}`))
}
print()
process.exitCode = broken.length === 0 ? 0 : 1

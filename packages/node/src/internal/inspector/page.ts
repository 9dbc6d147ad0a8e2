/**
 * The page of an inspector: one document that loads nothing and listens to
 * `events` beside it. Labels can hold what clients sent, so that everything is
 * set as text, and the page may run nothing but its own script.
 */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { createHash } from "node:crypto"

const style = `
:root { color-scheme: light dark; --quiet: color-mix(in srgb, currentColor 60%, transparent);
  --line: color-mix(in srgb, currentColor 18%, transparent); --good: light-dark(#1a7f37, #4ac26b);
  --bad: light-dark(#cf222e, #ff7b72); --busy: light-dark(#9a6700, #d4a72c) }
body { font: 14px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 76rem; padding: 0 1rem }
h1 { font-size: 1.3rem; margin: 0 } h2 { font-size: 1.05rem; margin: 0 }
header, .head { display: flex; flex-wrap: wrap; gap: .3rem .8rem; align-items: baseline }
section { margin-top: 1.6rem }
.tag { border: 1px solid; border-radius: 1rem; padding: 0 .6rem; font-size: .85rem }
.good { color: var(--good) } .bad { color: var(--bad) } .busy { color: var(--busy) } .quiet { color: var(--quiet) }
.drain { border-left: 4px solid var(--busy); padding: .3rem .8rem; margin: .6rem 0 }
.worker { border-left: 3px solid var(--line); padding-left: 1rem } .worker section { margin-top: .8rem }
progress { width: 100%; height: .7rem; accent-color: var(--busy) }
table { border-collapse: collapse; width: 100%; margin-top: .5rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 500; color: var(--quiet); font-size: .85rem }
td { overflow-wrap: anywhere } .number { text-align: right; white-space: nowrap }
`

const script = `
"use strict"
const make = (tag, attributes, ...children) => {
  const element = document.createElement(tag)
  for (const name in attributes) element.setAttribute(name, attributes[name])
  element.append(...children)
  return element
}
const span = (ms) => {
  if (ms < 1000) return Math.round(ms) + " ms"
  const s = ms / 1000
  if (s < 60) return s.toFixed(1) + " s"
  if (s < 3600) return Math.floor(s / 60) + " min " + Math.floor(s % 60) + " s"
  return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min"
}
const bytes = (n) =>
  n < 1024 ? n + " B" : n < 1048576 ? Math.round(n / 1024) + " KiB" : (n / 1048576).toFixed(1) + " MiB"
const plural = (n, noun) => n + " " + noun + (n === 1 ? "" : "s")
const work = (connection) => connection.exchanges.map(({ label, age }) => label + " " + span(age)).join(", ")
const tag = (text, kind) => make("span", { class: "tag " + kind }, text)
const stages = { LameDuck: "lame duck", Sweeping: "sweeping", Draining: "draining", Aborting: "aborting" }
const tones = { Open: "good", Faulted: "bad", Opening: "busy", Closing: "busy" }

const drain = ({ stage, remaining, connections, timeLeft, oldest }) =>
  make("div", { class: "drain", "data-stage": stage },
    make("strong", {}, stages[stage] + " · waiting for " + remaining + " of " + connections),
    " · " + (timeLeft === null ? "no deadline" : span(timeLeft) + " left"),
    make("progress", { max: Math.max(1, connections), value: connections - remaining, "aria-label": "connections that have ended" }),
    oldest === null ? "" : make("div", { class: "quiet" },
      "oldest: " + oldest.remote + ", " + (work(oldest) || oldest.phase) + ", open " + span(oldest.age)))

const columns = { "#": "", remote: "", protocol: "", phase: "", open: "number", "in flight": "", in: "number", out: "number", unsent: "number" }
const row = (connection) => make("tr", { "data-phase": connection.phase },
  make("td", {}, String(connection.id)), make("td", {}, connection.remote), make("td", {}, connection.protocol),
  make("td", {}, connection.phase), make("td", { class: "number" }, span(connection.age)), make("td", {}, work(connection)),
  ...[connection.bytesIn, connection.bytesOut, connection.bytesPending].map((n) => make("td", { class: "number" }, bytes(n))))

const listener = ({ name, address, state, ready, counts, drain: running, connections }) => {
  const phases = Object.entries(counts.phases).filter(([, count]) => count > 0).map(([phase, count]) => count + " " + phase)
  const section = make("section", { "data-listener": name },
    make("div", { class: "head" }, make("h2", {}, name), tag(state, tones[state] || "quiet"),
      make("span", {}, address || ""),
      make("span", { class: "quiet" }, [plural(counts.total, "connection"), ...phases].join(" · "))))
  if (running !== null) section.append(drain(running))
  if (connections.length > 0) {
    const head = make("tr", {}, ...Object.entries(columns).map(([name, kind]) => make("th", { scope: "col", class: kind }, name)))
    section.append(make("table", {}, make("thead", {}, head), make("tbody", {}, ...connections.map(row))))
  }
  if (connections.length < counts.total) {
    section.append(make("p", { class: "quiet" }, "and " + (counts.total - connections.length) + " more"))
  }
  return section
}

const workerTones = { Accepting: "good", Starting: "busy", Draining: "busy" }
const worker = ({ pid, slot, generation, state, since, restarts, answers, listeners }) =>
  make("section", { class: "worker", "data-worker": slot, "data-generation": generation, "data-state": state },
    make("div", { class: "head" }, make("h2", {}, "worker " + slot), tag(state, workerTones[state]),
      make("span", {}, "generation " + generation),
      make("span", { class: "quiet" }, ["process " + pid, state.toLowerCase() + " for " + span(Date.now() - since),
        ...(restarts === 0 ? [] : [plural(restarts, "restart")]),
        ...(answers || state === "Starting" ? [] : ["does not answer"])].join(" · "))),
    ...listeners.map(listener))
const replacement = ({ size, replacement: running }) =>
  running === null ? "" : make("div", { class: "drain", "data-replacement": running.generation },
    make("strong", {}, "replacing · generation " + running.generation + " has " + running.done + " of " + plural(size, "worker")),
    make("progress", { max: size, value: running.done, "aria-label": "workers of the new generation that accept" }))

const main = document.querySelector("main")
const link = document.querySelector("#link")
const show = (seen) => {
  document.title = (seen.host || "listeners") + (seen.drain ? ": " + stages[seen.drain.stage] : "")
  main.replaceChildren(
    make("header", {}, make("h1", {}, seen.host || "listeners"),
      tag(seen.ready ? "ready" : "not ready", seen.ready ? "good" : "bad"),
      tag(seen.live ? "live" : "not live", seen.live ? "good" : "bad")),
    ...(seen.drain === null ? [] : [drain(seen.drain)]),
    ...(seen.workers ? [replacement(seen.workers), ...seen.workers.workers.map(worker)] : []),
    ...seen.listeners.map(listener))
}
const say = (state, text) => { link.dataset.state = state; link.textContent = text }
let last
let source
const follow = () => {
  if (document.hidden || (source && source.readyState !== EventSource.CLOSED)) return
  source = new EventSource("events")
  source.onopen = () => say("live", "live")
  source.onmessage = ({ data }) => {
    last = JSON.parse(data)
    // what somebody is copying stays
    if (getSelection().type !== "Range") show(last)
  }
  source.onerror = () => {
    say("lost", last && last.drain ? "closed; trying again" : "no answer; trying again")
    // a browser gives up for good where the answer was no stream
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 2000)
  }
}
// nobody looks: nothing is to be sent
document.addEventListener("visibilitychange", () => {
  source && source.close()
  if (document.hidden) say("paused", "paused")
  else follow()
})
follow()
`

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

const document = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>listeners</title>
<style>${style}</style>
<main></main>
<p class="quiet" id="link" role="status" data-state="opening">connecting</p>
<script>${script}</script>
</html>
`

const policy = [
  "default-src 'none'",
  "connect-src 'self'",
  `style-src ${hash(style)}`,
  `script-src ${hash(script)}`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'"
]

export const response: HttpServerResponse.HttpServerResponse = HttpServerResponse.html(document).pipe(
  HttpServerResponse.setHeaders({
    "content-security-policy": policy.join("; "),
    "x-content-type-options": "nosniff"
  })
)

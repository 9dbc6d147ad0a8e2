/**
 * What the page does: it listens to `events` beside it, and shows what it was told
 * last. Labels can hold what clients sent, so that everything is set as text.
 */
export const script = `
"use strict"
const make = (tag, attributes, ...children) => {
  const element = document.createElement(tag)
  for (const name in attributes) element.setAttribute(name, attributes[name])
  element.append(...children)
  return element
}
// the empty drawing in the document knows what a drawing is made of
const { namespaceURI } = document.querySelector("svg")
const draw = (tag, attributes, ...children) => {
  const element = document.createElementNS(namespaceURI, tag)
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
const work = ({ exchanges, moreExchanges }) => [...exchanges.map(({ label, age }) => label + " " + span(age)),
  ...(moreExchanges ? ["and " + moreExchanges + " more"] : [])].join(", ")
const tag = (text, kind) => make("span", { class: "tag " + kind }, text)
const stages = { LameDuck: "lame duck", Sweeping: "sweeping", Draining: "draining", Aborting: "aborting" }
const tones = { Open: "good", Faulted: "bad", Opening: "busy", Closing: "busy" }

// what a person has chosen, kept while all else is shown anew
let filter = ""
const whole = new Set()
// how many rows of a listener are shown at first, so that the others stay in sight
const fewRows = 12

// how many a drain waited for, by its name, from when this page saw it first
const pictures = new Map()
const maxPoints = 600
const remember = (name, running) => {
  if (running === null) return void pictures.delete(name)
  const now = performance.now()
  const picture = pictures.get(name) || { began: now, most: 0, points: [] }
  pictures.set(name, picture)
  picture.most = Math.max(picture.most, running.connections, running.remaining)
  picture.points.push([now - picture.began, running.remaining])
  // half as many points of a long drain say the same
  if (picture.points.length > maxPoints) picture.points = picture.points.filter((_, index) => index % 2 === 0)
  picture.end = Math.max(now - picture.began + (running.timeLeft || 0), 1)
}
const picture = (name) => {
  const { began, end, most, points } = pictures.get(name) || { points: [] }
  if (points.length < 2) return ""
  const line = points.map(([at, remaining]) => (at / end * 1000).toFixed(1) + "," + (98 - remaining / Math.max(1, most) * 96).toFixed(1))
  const [at, remaining] = points[points.length - 1]
  return draw("svg", { class: "picture", viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img",
    "aria-label": "waited for over time: " + points[0][1] + " at first, " + remaining + " after " + span(at) },
    draw("line", { x1: 0, y1: 98, x2: 1000, y2: 98 }),
    draw("polyline", { points: line.join(" ") }))
}

const drain = (name, { stage, remaining, connections, timeLeft, oldest }, over) =>
  make("div", { class: "drain", "data-stage": stage },
    make("strong", {}, (over ? "was " : "") + stages[stage] + " · waiting for " + remaining + " of " + connections),
    over ? "" : " · " + (timeLeft === null ? "no deadline" : span(timeLeft) + " left"),
    make("progress", { max: Math.max(1, connections), value: connections - remaining, "aria-label": "connections that have ended" }),
    picture(name),
    oldest === null ? "" : make("div", { class: "quiet" },
      "oldest: " + oldest.remote + ", " + (work(oldest) || oldest.phase) + ", open " + span(oldest.age)))

const columns = { "#": "minor", remote: "", protocol: "minor", phase: "phase", open: "number", "in flight": "",
  in: "number minor", out: "number minor", unsent: "number minor" }
const phase = ({ phase, phaseAge, age, exchanges }) =>
  exchanges.length === 0 && phaseAge !== undefined && phaseAge < age ? phase + " " + span(phaseAge) : phase
const cells = (connection) => [String(connection.id), connection.remote, connection.protocol, phase(connection), span(connection.age),
  work(connection), bytes(connection.bytesIn), bytes(connection.bytesOut), bytes(connection.bytesPending)]
const row = (texts, connection) => make("tr", { "data-phase": connection.phase },
  ...Object.values(columns).map((kind, index) => make("td", { class: kind }, texts[index])))
const groups = (title, { groups, more }) => groups.length === 0 ? "" : make("div", {}, make("h4", {}, title),
  make("ul", {}, ...groups.map(({ name, count, oldest }) => make("li", {}, make("span", {}, name),
    make("span", { class: "number" }, count + " · oldest " + span(oldest)))),
    ...(more > 0 ? [make("li", { class: "quiet" }, "and " + more + " more")] : [])))

const listener = (level, prefix, { name, address, state, ready, counts, drain: running, labels, networks, connections }, over) => {
  const key = prefix + name
  if (!over) remember(key, running)
  const phases = Object.entries(counts.phases).filter(([, count]) => count > 0).map(([phase, count]) => count + " " + phase)
  const section = make("section", { "data-listener": name },
    make("div", { class: "head" }, make(level, {}, name), tag((over ? "was " : "") + state, over ? "quiet" : tones[state] || "quiet"),
      make("span", {}, address || ""),
      make("span", { class: "quiet" }, [plural(counts.total, "connection"), ...phases].join(" · "))))
  if (running !== null) section.append(drain(key, running, over))
  // a few need no summary
  if (counts.total > fewRows) section.append(make("div", { class: "groups" }, groups("in flight", labels), groups("clients", networks)))
  const found = connections.map((connection) => [cells(connection), connection])
    .filter(([texts]) => filter === "" || texts.join(" ").toLowerCase().includes(filter))
  const shown = whole.has(key) || filter !== "" ? found : found.slice(0, fewRows)
  if (shown.length > 0) {
    const head = make("tr", {}, ...Object.entries(columns).map(([name, kind]) => make("th", { scope: "col", class: kind }, name)))
    section.append(make("table", {}, make("thead", {}, head), make("tbody", {}, ...shown.map(([texts, connection]) => row(texts, connection)))))
  }
  const hidden = found.length - shown.length
  if (hidden > 0 || whole.has(key)) {
    const button = make("button", { type: "button", "aria-expanded": whole.has(key) }, hidden > 0 ? "show " + hidden + " more" : "show fewer")
    button.dataset.key = key
    section.append(button)
  }
  if (filter !== "") section.append(make("p", { class: "quiet" }, found.length + " of " + connections.length + " listed match"))
  if (connections.length < counts.total) {
    section.append(make("p", { class: "quiet" }, "and " + (counts.total - connections.length) + " more"))
  }
  return section
}

const workerTones = { Accepting: "good", Starting: "busy", Draining: "busy" }
const worker = ({ pid, slot, generation, state, since, restarts, answers, listeners }, over) =>
  make("section", { class: "worker", "data-worker": slot, "data-generation": generation, "data-state": state },
    make("div", { class: "head" }, make("h2", {}, "worker " + slot), tag((over ? "was " : "") + state, over ? "quiet" : workerTones[state]),
      make("span", {}, "generation " + generation),
      make("span", { class: "quiet" }, ["process " + pid, ...(over ? [] : [state.toLowerCase() + " for " + span(Date.now() - since)]),
        ...(restarts === 0 ? [] : [plural(restarts, "restart")]),
        ...(answers || state === "Starting" ? [] : ["does not answer"])].join(" · "))),
    ...listeners.map((each) => listener("h3", slot + "/" + pid + "/", each, over)))
const replacement = ({ size, replacement: running }) =>
  running === null ? "" : make("div", { class: "drain", "data-replacement": running.generation },
    make("strong", {}, "replacing · generation " + running.generation + " has " + running.done + " of " + plural(size, "worker")),
    make("progress", { max: size, value: running.done, "aria-label": "workers of the new generation that accept" }))

const main = document.querySelector("main")
const link = document.querySelector("#link")
const search = document.querySelector("#search")
// what is shown: the last inspection, when it came, and whether the process it is about has gone
let last
let at
let over = false
const show = () => {
  if (last === undefined) return
  const name = last.host || "listeners"
  document.title = name + (over ? ": over" : last.drain ? ": " + stages[last.drain.stage] : "")
  main.className = over ? "over" : ""
  if (!over) remember("", last.drain)
  const focused = document.activeElement && document.activeElement.dataset.key
  main.replaceChildren(
    make("header", {}, make("h1", {}, name),
      ...(over
        ? [tag("over", "quiet"), make("span", { class: "quiet" }, "as it was at " + at.toLocaleTimeString())]
        : [tag(last.ready ? "ready" : "not ready", last.ready ? "good" : "bad"),
          tag(last.live ? "live" : "not live", last.live ? "good" : "bad")])),
    ...(last.drain === null ? [] : [drain("", last.drain, over)]),
    ...(last.workers ? [replacement(last.workers), ...last.workers.workers.map((each) => worker(each, over))] : []),
    ...last.listeners.map((each) => listener("h2", "", each, over)))
  search.hidden = main.querySelector("tbody") === null && filter === ""
  if (focused !== undefined) for (const button of main.querySelectorAll("button")) if (button.dataset.key === focused) button.focus()
}
main.addEventListener("click", ({ target }) => {
  const { key } = target.dataset
  if (key === undefined) return
  if (!whole.delete(key)) whole.add(key)
  show()
})
search.addEventListener("input", ({ target }) => {
  filter = target.value.trim().toLowerCase()
  show()
})
search.addEventListener("submit", (event) => event.preventDefault())

const say = (state, text) => { link.dataset.state = state; link.textContent = text }
let source
const follow = () => {
  if (document.hidden || (source && source.readyState !== EventSource.CLOSED)) return
  source = new EventSource("events")
  source.onopen = () => say("live", "live")
  source.onmessage = ({ data }) => {
    if (over) pictures.clear()
    last = JSON.parse(data)
    at = new Date()
    over = false
    // what is being copied stays
    if (getSelection().type !== "Range") show()
  }
  source.onerror = () => {
    say("lost", last && last.drain ? "closed; trying again" : "no answer; trying again")
    if (!over) {
      over = true
      show()
    }
    // a browser gives up for good where the answer was no stream
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 2000)
  }
}
// a hidden page is sent nothing
document.addEventListener("visibilitychange", () => {
  source && source.close()
  if (document.hidden) say("paused", "paused")
  else follow()
})
follow()
`

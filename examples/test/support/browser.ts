/**
 * A real browser without a window, driven by its DevTools protocol: opens a page
 * and asks it what it shows.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { find, tools } from "../../../scripts/verify/tools.ts"

export interface Page {
  /** The value of an expression in the page. */
  readonly evaluate: (expression: string) => Effect.Effect<unknown, Error>
  /** Waits until an expression in the page is true; fails after ten seconds with what the page shows. */
  readonly until: (expression: string) => Effect.Effect<void, Error>
  /** The text of the page as a person sees it. */
  readonly text: Effect.Effect<string, Error>
  /** What the page reported: script errors, refused resources. */
  readonly problems: () => ReadonlyArray<string>
  /** How large its window is, and whether it is dark. */
  readonly look: (
    look: { readonly width: number; readonly height: number; readonly dark?: boolean }
  ) => Effect.Effect<void, Error>
  /** What it shows, as PNG. */
  readonly screenshot: Effect.Effect<Buffer, Error>
  /** What axe-core finds of serious and critical weight, a line each. */
  readonly inaccessible: Effect.Effect<ReadonlyArray<string>, Error>
}

/** Opens a page in a browser of its own; the scope ends the browser. */
export const open = (url: string): Effect.Effect<Page, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const devTools = yield* devToolsOf(yield* browser)
    yield* Effect.tryPromise({ try: () => devTools.call("Page.enable"), catch: asError })
    yield* Effect.tryPromise({ try: () => devTools.call("Runtime.enable"), catch: asError })
    yield* Effect.tryPromise({ try: () => devTools.call("Log.enable"), catch: asError })
    yield* Effect.tryPromise({ try: () => devTools.call("Page.navigate", { url }), catch: asError })

    const evaluate = (expression: string): Effect.Effect<unknown, Error> =>
      Effect.tryPromise({
        try: async () => {
          const { exceptionDetails, result } = await devTools.call("Runtime.evaluate", {
            expression,
            returnByValue: true
          })
          if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
          return result?.value
        },
        catch: asError
      })
    const text = Effect.map(evaluate("document.body.innerText"), String)
    const call = (method: string, params?: object): Effect.Effect<Result, Error> =>
      Effect.tryPromise({ try: () => devTools.call(method, params), catch: asError })
    return {
      look: ({ dark = false, height, width }) =>
        Effect.andThen(
          call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 500 }),
          call("Emulation.setEmulatedMedia", {
            features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]
          })
        ),
      screenshot: Effect.map(
        call("Page.captureScreenshot", { format: "png" }),
        ({ data = "" }) => Buffer.from(data, "base64")
      ),
      // run by the DevTools, which the page's own policy does not hold back
      inaccessible: Effect.andThen(
        evaluate(Fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")),
        Effect.map(evaluateLater(devTools, findings), (found) => found as ReadonlyArray<string>) // as the expression says
      ),
      evaluate,
      text,
      until: (expression) =>
        Effect.repeat(evaluate(expression), {
          schedule: Schedule.spaced("50 millis"),
          until: (value) => value === true
        })
          .pipe(
            Effect.timeoutOrElse({
              duration: "1 minute",
              orElse: () =>
                Effect.flatMap(text, (shown) => Effect.fail(new Error(`not within a minute: ${expression}\n${shown}`)))
            })
          ),
      problems: () => devTools.problems
    }
  })

const findings = `axe.run().then(({ violations }) => violations
  .filter(({ impact }) => impact === "serious" || impact === "critical")
  .map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join(" ")))`

const evaluateLater = (devTools: DevTools, expression: string): Effect.Effect<unknown, Error> =>
  Effect.tryPromise({
    try: async () => {
      const { exceptionDetails, result } = await devTools.call("Runtime.evaluate", {
        expression,
        awaitPromise: true,
        returnByValue: true
      })
      if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
      return result?.value
    },
    catch: asError
  })

const asError = (cause: unknown): Error => cause instanceof Error ? cause : new Error(String(cause))

/** Starts it, and answers the address of its DevTools. */
const browser: Effect.Effect<string, Error, Scope.Scope> = Effect.gen(function*() {
  const profile = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "browser-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true, maxRetries: 5 }))
  )
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(executable, [
        "--headless=new",
        "--remote-debugging-port=0",
        `--user-data-dir=${profile}`,
        "--no-first-run",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        // as root it has no sandbox; the only page it opens is ours
        "--no-sandbox",
        "about:blank"
      ], { stdio: ["ignore", "ignore", "pipe"] })
    ),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill()
      })
  )
  return yield* Effect.callback<string, Error>((resume) => {
    const lines: Array<string> = []
    createInterface(child.stderr).on("line", (line) => {
      lines.push(line)
      const address = /^DevTools listening on (ws:\S+)$/.exec(line)?.[1]
      if (address !== undefined) resume(Effect.succeed(address))
    })
    child.once("exit", () => resume(Effect.fail(new Error(`the browser did not start:\n${lines.join("\n")}`))))
  }).pipe(Effect.timeout("1 minute"))
})

const executable = tools.flatMap((tool) => tool.name === "chromium" ? find(tool) ?? [] : [])[0] ?? "chromium"

/** What is read of the answers of the DevTools protocol. */
interface Answer {
  readonly id?: number
  readonly method?: string
  readonly params?: unknown
  readonly error?: unknown
  readonly result?: Result
}

interface Result {
  readonly result?: { readonly value?: unknown }
  readonly data?: string
  readonly exceptionDetails?: unknown
}

interface DevTools {
  readonly call: (method: string, params?: object) => Promise<Result>
  readonly problems: ReadonlyArray<string>
}

const devToolsOf = (address: string): Effect.Effect<DevTools, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const targets = yield* Effect.tryPromise({
      try: async (): Promise<ReadonlyArray<{ type: string; webSocketDebuggerUrl: string }>> => {
        const response = await fetch(`http://${new URL(address).host}/json/list`)
        // the list of targets is an array of these
        return await response.json() as ReadonlyArray<{ type: string; webSocketDebuggerUrl: string }>
      },
      catch: asError
    })
    const page = targets.find(({ type }) => type === "page")
    if (page === undefined) return yield* Effect.fail(new Error("the browser has no page"))
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new WebSocket(page.webSocketDebuggerUrl)),
      (socket) => Effect.sync(() => socket.close())
    )
    const waiting = new Map<number, { resolve: (result: Result) => void; reject: (error: Error) => void }>()
    const problems: Array<string> = []
    let calls = 0
    socket.addEventListener("message", ({ data }) => {
      const answer: Answer = JSON.parse(String(data))
      if (answer.id === undefined) {
        if (answer.method === "Runtime.exceptionThrown" || answer.method === "Log.entryAdded") {
          problems.push(JSON.stringify(answer.params))
        }
        return
      }
      const call = waiting.get(answer.id)
      waiting.delete(answer.id)
      if (answer.error === undefined) call?.resolve(answer.result ?? {})
      else call?.reject(new Error(JSON.stringify(answer.error)))
    })
    socket.addEventListener("close", () => {
      for (const { reject } of waiting.values()) reject(new Error("the browser is gone"))
    })
    yield* Effect.callback<void, Error>((resume) => {
      socket.addEventListener("open", () => resume(Effect.void))
      socket.addEventListener("error", () => resume(Effect.fail(new Error("no DevTools"))))
    })
    return {
      problems,
      call: (method, params = {}) =>
        new Promise((resolve, reject) => {
          const id = ++calls
          waiting.set(id, { resolve, reject })
          socket.send(JSON.stringify({ id, method, params }))
        })
    }
  })

/**
 * Runs the modules named by its arguments one after another: the next begins when the event loop has nothing left to
 * do, which is when the one before has ended as a process of its own would have.
 */
import * as Fs from "node:fs"
import { pathToFileURL } from "node:url"
import * as Util from "node:util"
import type { Event } from "./run.ts"

const files = process.argv.slice(2)

// written at once: what an example printed is known also when it ends this process
const report = (event: Event): void => {
  Fs.writeSync(3, `${JSON.stringify(event)}\n`)
}

/** A line of Effect's default logger, whose time is never the same. */
const isLogLine = (text: string): boolean => /^\[\d\d:\d\d:\d\d\.\d{3}\] [A-Z]+ \(#\d+\)/.test(text)

console.log = (...args: Array<unknown>): void => {
  const text = Util.format(...args)
  if (isLogLine(text)) process.stderr.write(`${text}\n`)
  else report({ event: "print", text })
}

let index = -1
let loaded = true

const next = (): void => {
  if (++index === files.length) return
  loaded = false
  report({ event: "begin", index })
  void import(pathToFileURL(files[index] ?? "").href).then(() => {
    loaded = true
  })
}

const fail = (failure: string): never => {
  report({ event: "end", failure })
  process.exit(1)
}

process.on("uncaughtException", (error) => fail(`failed with ${Util.inspect(error)}`))

process.on("beforeExit", () => {
  if (index === files.length) return
  if (!loaded) fail("ended while a top-level await was waiting")
  if (process.exitCode) fail(`ended with exit code ${process.exitCode}`)
  report({ event: "end", failure: undefined })
  next()
})

next()

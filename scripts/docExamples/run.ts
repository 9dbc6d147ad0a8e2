/**
 * Checks the examples of the documentation: the types of all in one project, then each by running it.
 *
 * Loading Effect takes longer than most examples, so many run in one process, one after the other; see `child.ts`.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Readline from "node:readline"
import type { Readable } from "node:stream"
import { run } from "../verify/run.ts"
import type { DocExample } from "./extract.ts"
import { expectations } from "./extract.ts"

/** What a child says about the example at `index` of those it was given. */
export type Event =
  | { readonly event: "begin"; readonly index: number }
  | { readonly event: "print"; readonly text: string }
  | { readonly event: "end"; readonly failure: string | undefined }

interface Run {
  readonly printed: ReadonlyArray<string>
  readonly failure: string | undefined
}

export interface Options {
  /** The workspace that the examples' imports resolve from. */
  readonly root: string
  /** An empty folder inside it. */
  readonly folder: string
  /** Milliseconds for one example. */
  readonly timeout: number
}

/** What is wrong with each example, in their order; `undefined` for nothing. */
export const check = async (
  examples: ReadonlyArray<DocExample>,
  options: Options
): Promise<ReadonlyArray<string | undefined>> => {
  const files = examples.map((example) => write(example, options.folder))
  const types = await typeErrors(files, options)
  const runnable = files.filter((_, index) => examples[index]?.noRun === undefined)
  const runs = await runAll(runnable, options)
  return examples.map((example, index) => {
    const file = files[index] ?? ""
    const own = runs.get(file)
    const problems = [
      ...types.get(file) ?? [],
      own?.failure,
      own === undefined ? undefined : compare(expectations(example), own.printed)
    ].filter((problem) => problem !== undefined)
    return problems.length === 0 ? undefined : problems.join("\n")
  })
}

/** Writes the example with as many empty lines before it as it has in its document, so that errors name that line. */
const write = (example: DocExample, folder: string): string => {
  const file = Path.join(folder, `${example.file}.${example.line}.ts`)
  Fs.mkdirSync(Path.dirname(file), { recursive: true })
  Fs.writeFileSync(file, "\n".repeat(example.line - 1) + example.code + "\n")
  return file
}

const typeErrors = async (
  files: ReadonlyArray<string>,
  { folder, root }: Options
): Promise<Map<string, Array<string>>> => {
  const project = Path.join(folder, "tsconfig.json")
  Fs.writeFileSync(
    project,
    JSON.stringify({
      extends: Path.join(root, "tsconfig.base.json"),
      compilerOptions: {
        noEmit: true,
        composite: false,
        incremental: false,
        rewriteRelativeImportExtensions: false,
        // an example may show a value without using it
        noUnusedLocals: false,
        noUnusedParameters: false
      },
      files
    })
  )
  const { failure, output } = await run(
    { name: "types", commands: [["tsc", "-p", project, "--pretty", "false"]], timeout: 300_000 },
    root
  )
  const errors = new Map<string, Array<string>>()
  for (const [, file = "", message = ""] of output.matchAll(/^(.+?)(\(\d+,\d+\): error.*(?:\n .*)*)/gm)) {
    const path = Path.resolve(root, file)
    errors.set(path, [...errors.get(path) ?? [], message])
  }
  if (failure !== undefined && errors.size === 0) throw new Error(`Types could not be checked: ${failure}\n${output}`)
  return errors
}

const runAll = async (files: ReadonlyArray<string>, options: Options): Promise<Map<string, Run>> => {
  const runs = new Map<string, Run>()
  const lane = async (files: ReadonlyArray<string>) => {
    // a process ends early with an example that fails or does not end; the rest goes into a new one
    while (files.length > 0) {
      const done = await runInOneProcess(files, options)
      done.forEach((run, index) => runs.set(files[index] ?? "", run))
      files = files.slice(done.length)
    }
  }
  await Promise.all([0, 1].map((half) => lane(files.filter((_, index) => index % 2 === half))))
  return runs
}

/** The runs of the first files, at least of one. */
const runInOneProcess = (files: ReadonlyArray<string>, options: Options): Promise<ReadonlyArray<Run>> =>
  new Promise((resolve, reject) => {
    const child = ChildProcess.spawn(process.execPath, [Path.join(import.meta.dirname, "child.ts"), ...files], {
      cwd: options.folder,
      stdio: ["ignore", "pipe", "pipe", "pipe"]
    })
    const runs: Array<Run> = []
    let printed: Array<string> = []
    let output: Array<string> = []
    let timedOut = false
    let timer: NodeJS.Timeout | undefined
    const begin = () => {
      clearTimeout(timer)
      printed = []
      output = []
      timer = setTimeout(() => {
        timedOut = true
        child.kill("SIGKILL")
      }, options.timeout)
    }
    const end = (failure: string | undefined) => {
      clearTimeout(timer)
      runs.push({ printed, failure: failure === undefined ? undefined : `${failure}\n${output.join("")}`.trimEnd() })
    }
    begin()
    // Node's types give up beyond three entries of `stdio`: these three are pipes from the child
    const [, stdout, stderr, events] = child.stdio as unknown as readonly [null, Readable, Readable, Readable]
    for (const stream of [stdout, stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => output.push(chunk))
    }
    Readline.createInterface({ input: events }).on("line", (line) => {
      const event: Event = JSON.parse(line)
      if (event.event === "begin") begin()
      if (event.event === "print") printed.push(event.text)
      if (event.event === "end") end(event.failure)
    })
    child.on("error", reject)
    child.on("close", (code, signal) => {
      clearTimeout(timer)
      const cutShort = runs.length < files.length && runs.at(-1)?.failure === undefined
      if (cutShort && timedOut) end(`did not end by itself within ${options.timeout / 1000} s`)
      // the example ended the process
      else if (cutShort) end(code === 0 ? undefined : `ended with ${code === null ? signal : `exit code ${code}`}`)
      resolve(runs)
    })
  })

/** Text for text, except for how it is broken into lines. */
const compare = (expected: ReadonlyArray<string>, printed: ReadonlyArray<string>): string | undefined => {
  if (expected.length === 0) return undefined
  const words = (lines: ReadonlyArray<string>) => lines.join("\n").trim().split(/\s+/).join(" ")
  const pattern = words(expected).replace(/[\\^$.*+?()[\]{}|]/g, "\\$&").replaceAll("…", ".*")
  return new RegExp(`^${pattern}$`).test(words(printed))
    ? undefined
    : `It says that it prints\n${indent(expected)}\nbut it prints\n${indent(printed)}`
}

const indent = (lines: ReadonlyArray<string>): string => lines.join("\n").replace(/^/gm, "  ")

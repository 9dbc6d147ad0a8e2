/**
 * A server in a process of its own: started, asked, told to end.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Timers from "node:timers/promises"
import type { Answers, LastWords } from "./childServer.ts"
import { profiling } from "./profile.ts"
import * as Tools from "./tools.ts"

export interface ServerOptions {
  /** The program below `benchmarks/servers`, and its arguments; or `go`. */
  readonly program: string
  readonly args?: ReadonlyArray<string> | undefined
  /** 0 or nothing: any that is free. */
  readonly port?: number | undefined
  /** Not pinned to the servers' processor. */
  readonly anywhere?: boolean | undefined
  /** The folder of Node's compile cache, if it is to have one. */
  readonly compileCache?: string | undefined
  /** Runs the packages as they are published instead of their sources. */
  readonly published?: boolean | undefined
}

/** How a server ended. */
export interface End {
  /** Milliseconds from SIGTERM to the end of the process. */
  readonly took: number
  /** The longest its event loop was held meanwhile, in milliseconds; not known of other than Node. */
  readonly stall: number
  /** CPU time meanwhile, in milliseconds; not known of other than Node. */
  readonly cpu: number
  /** How many turns of its event loop the goodbyes took; of `goodbyes` only. */
  readonly turns: number
}

export class Server {
  readonly port: number
  /** From the start of the process to its first word: it listens. In milliseconds. */
  readonly startedIn: number
  private readonly process: ChildProcess.ChildProcess
  private readonly ended: Promise<void>
  private lastWords = ""

  constructor(process: ChildProcess.ChildProcess, port: number, startedIn: number) {
    this.process = process
    this.port = port
    this.startedIn = startedIn
    this.ended = new Promise((resolve) => process.once("close", () => resolve()))
    process.stdio[4]?.on("data", (chunk) => {
      this.lastWords += String(chunk)
    })
  }

  /** What the server's process knows of itself. */
  ask(question: keyof Answers): Promise<number> {
    if (!this.process.connected) return this.lookUp(question)
    return new Promise((resolve, reject) => {
      const onExit = () => reject(new Error(`the server ended instead of telling its ${question}`))
      const onMessage = (message: { readonly question?: string; readonly answer: number }) => {
        if (message.question !== question) return
        this.process.off("message", onMessage)
        this.process.off("exit", onExit)
        resolve(message.answer)
      }
      this.process.on("message", onMessage)
      this.process.once("exit", onExit)
      this.process.send(question)
    })
  }

  /** The same of a program that is not ours, as Linux knows it. */
  private async lookUp(question: keyof Answers): Promise<number> {
    const of = (file: string) => Fs.readFileSync(`/proc/${this.process.pid}/${file}`, "utf8")
    if (question === "memory") {
      this.process.kill("SIGUSR1")
      await Timers.setTimeout(500)
      return Number(/VmRSS:\s+(\d+)/.exec(of("status"))?.[1]) * 1024
    }
    const fields = of("stat").replace(/^.*\) /, "").split(" ")
    const [user, system] = [Number(fields[11]), Number(fields[12])]
    // in hundredths of a second
    return question === "cpu" ? (user + system) * 10_000 : question === "user" ? user * 10_000 : Number.NaN
  }

  /** Sends SIGTERM, and waits for the end; killed after `limit`. */
  async end(limit = 30_000): Promise<End> {
    if (this.process.connected) await this.ask("stall")
    const cpu = this.process.connected ? await this.ask("cpu") : Number.NaN
    const start = performance.now()
    this.process.kill("SIGTERM")
    const timer = setTimeout(() => this.process.kill("SIGKILL"), limit)
    await this.ended
    clearTimeout(timer)
    const took = performance.now() - start
    const words = this.lastWords === "" ? undefined : JSON.parse(this.lastWords) as LastWords
    return {
      took,
      stall: words?.stall ?? Number.NaN,
      cpu: ((words?.cpu ?? Number.NaN) - cpu) / 1000,
      turns: words?.turns ?? Number.NaN
    }
  }

  async kill(): Promise<void> {
    if (profiling() && this.process.connected) this.process.send("end")
    else this.process.kill("SIGKILL")
    await this.ended
  }
}

const root = Path.join(import.meta.dirname, "..")

/** Starts a server and waits until it listens. */
export const start = (
  { anywhere, args = [], compileCache, port, program, published }: ServerOptions
): Promise<Server> => {
  const env = {
    ...process.env,
    PORT: String(port ?? 0),
    ...compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache }
  }
  const go = program === "go" ? goProgram() : undefined
  const begin = performance.now()
  const child = go === undefined
    ? ChildProcess.fork(Path.join(root, "servers", program), args, {
      execArgv: ["--expose-gc", ...published === true ? ["--conditions=published"] : []],
      env,
      stdio: ["ignore", "ignore", "inherit", "ipc", "pipe"]
    })
    : ChildProcess.spawn(go, args, { env, stdio: ["pipe", "pipe", "inherit"] })
  if (anywhere !== true) Tools.pin(child.pid!, "server")
  return new Promise((resolve, reject) => {
    const listens = (port: number) => resolve(new Server(child, port, performance.now() - begin))
    child.once("error", reject)
    child.once("exit", (code) => reject(new Error(`${program} ${args.join(" ")} ended with ${code}`)))
    child.once("message", (message: { readonly port: number }) => listens(message.port))
    // a server in another language prints its port
    child.stdout?.once("data", (line: Buffer) => listens(Number(line.toString())))
  })
}

let built: string | undefined

/** The program in Go, built once a run. */
const goProgram = (): string => {
  if (built !== undefined) return built
  if (Tools.go === undefined) throw new Error("no go")
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-listener-bench-"))
  process.once("exit", () => Fs.rmSync(folder, { recursive: true }))
  built = Path.join(folder, "server")
  ChildProcess.execFileSync(Tools.go, ["build", "-o", built, Path.join(root, "go", "main.go")])
  return built
}

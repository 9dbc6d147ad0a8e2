/**
 * A server in a process of its own: started, asked, told to end.
 */
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import type { Answers } from "./childServer.ts"
import * as Tools from "./tools.ts"

export interface ServerOptions {
  /** The program below `benchmarks/servers`, and its arguments. */
  readonly program: string
  readonly args: ReadonlyArray<string>
  readonly env?: Record<string, string> | undefined
}

export class Server {
  readonly port: number
  /** From the start of the process to its first word: it listens. In milliseconds. */
  readonly startedIn: number
  private readonly process: ChildProcess.ChildProcess
  private readonly ended: Promise<void>

  constructor(process: ChildProcess.ChildProcess, port: number, startedIn: number) {
    this.process = process
    this.port = port
    this.startedIn = startedIn
    this.ended = new Promise((resolve) => process.once("exit", () => resolve()))
  }

  /** What the server's process knows of itself. */
  ask(question: keyof Answers): Promise<number> {
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

  /** Sends SIGTERM, and says how long the process took to end (ms); killed after `limit`. */
  async end(limit = 60_000): Promise<number> {
    const start = performance.now()
    this.process.kill("SIGTERM")
    const timer = setTimeout(() => this.process.kill("SIGKILL"), limit)
    await this.ended
    clearTimeout(timer)
    return performance.now() - start
  }

  async kill(): Promise<void> {
    this.process.kill("SIGKILL")
    await this.ended
  }
}

const folder = Path.join(import.meta.dirname, "..", "servers")

/** Starts a server and waits until it listens. */
export const start = ({ args, env, program }: ServerOptions): Promise<Server> => {
  const begin = performance.now()
  const child = program.endsWith(".ts")
    ? ChildProcess.fork(Path.join(folder, program), args, {
      execArgv: ["--expose-gc"],
      env: { ...process.env, ...env },
      stdio: ["ignore", "ignore", "inherit", "ipc"]
    })
    : ChildProcess.spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] })
  Tools.pin(child.pid!, "server")
  return new Promise((resolve, reject) => {
    const listens = (port: number) => resolve(new Server(child, port, performance.now() - begin))
    child.once("error", reject)
    child.once("exit", (code) => reject(new Error(`${program} ${args.join(" ")} ended with ${code}`)))
    child.once("message", (message: { readonly port: number }) => listens(message.port))
    // a server in another language prints its port
    child.stdout?.once("data", (line: Buffer) => listens(Number(line.toString())))
  })
}

/** Clients in a process of their own that talk to the harness while they run. */
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import * as Tools from "./tools.ts"

export interface Clients {
  /** Tells them something, and gives what they say. */
  readonly tell: <A>(message: string) => Promise<A>
  readonly end: () => Promise<void>
}

/** Starts a program below `load`, and waits until it is ready. */
export const clients = async (program: string, args: ReadonlyArray<string | number>): Promise<Clients> => {
  const child = ChildProcess.fork(Path.join(import.meta.dirname, "..", "load", program), args.map(String), {
    execArgv: [],
    stdio: ["ignore", "ignore", "inherit", "ipc"]
  })
  Tools.pin(child.pid!, "client")
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  const next = <A>() =>
    new Promise<A>((resolve, reject) => {
      const onExit = (code: number | null) => reject(new Error(`${program} ended with ${code}`))
      child.once("exit", onExit)
      child.once("message", (message) => {
        child.off("exit", onExit)
        // what these programs say is what their callers know them to say
        resolve(message as A)
      })
    })
  await next()
  return {
    tell: (message) => {
      const answer = next<never>()
      child.send(message)
      return answer
    },
    end: () => {
      child.kill("SIGKILL")
      return ended
    }
  }
}

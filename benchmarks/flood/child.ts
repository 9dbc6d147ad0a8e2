/** A process of the benchmark: asked by messages, one answer to each. */
import { type ChildProcess, fork } from "node:child_process"

export interface Child {
  readonly ask: <Answer>(question: unknown) => Promise<Answer>
  readonly end: () => void
}

/** What a process says first, and how to ask it more. */
export const start = async <First>(
  file: string,
  args: ReadonlyArray<string> = []
): Promise<Child & { readonly first: First }> => {
  const child = fork(new URL(file, import.meta.url), args, {
    execArgv: ["--expose-gc"],
    stdio: ["ignore", "ignore", "inherit", "ipc"]
  })
  return {
    first: await nextMessage<First>(child),
    ask: (question) => {
      const answer = nextMessage(child)
      child.send(JSON.stringify(question))
      // each process is asked only what it answers so
      return answer as Promise<never>
    },
    end: () => child.disconnect()
  }
}

const nextMessage = <Message>(child: ChildProcess): Promise<Message> =>
  new Promise((resolve, reject) => {
    const onMessage = (message: unknown) => {
      child.off("exit", onExit)
      // the processes of this folder are the only ones that send
      resolve(message as Message)
    }
    const onExit = (code: number | null) => {
      child.off("message", onMessage)
      reject(new Error(`a process ended with ${code}`))
    }
    child.once("message", onMessage)
    child.once("exit", onExit)
  })

/** The other side: answers each question, and ends with its parent. */
export const answer = (answers: (question: never) => unknown): void => {
  process.on("message", (question) => {
    // what is asked is what the main program asks this process
    void Promise.resolve(answers(JSON.parse(String(question)) as never)).then((answer) => process.send!(answer))
  })
  process.on("disconnect", () => process.exit(0))
}

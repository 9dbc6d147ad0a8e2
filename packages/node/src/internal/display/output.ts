/**
 * What a main program writes. Its reader may be gone, its disk full, its terminal
 * closed: nothing of that fails anything, and what was written has a bounded time
 * to go out before the process ends.
 */
import * as Fs from "node:fs"
import { setBlocking } from "../platform/privateNode.ts"

/** How long an exit waits for what was written (ms). */
const flushWithin = 1000

/**
 * From now on, until the result is called, an error of stdout or stderr fails
 * nothing: also where the program and its loggers write.
 */
export const guard = (): () => void => {
  for (const stream of streams()) stream.on("error", ignore)
  return () => {
    for (const stream of streams()) stream.removeListener("error", ignore)
  }
}

const ignore = (): void => {}

const streams = (): ReadonlyArray<NodeJS.WriteStream> => [process.stdout, process.stderr]

/**
 * From now on a terminal that is stopped, by Ctrl-S, holds up what is written to
 * it and not the process: Node writes to terminals by blocking calls. The result
 * takes it back.
 */
export const unblock = (): () => void => {
  const terminals = streams().filter((stream) => stream.isTTY)
  for (const terminal of terminals) setBlocking(terminal, false)
  return () => {
    // a terminal that is still stopped would hold up the exit
    for (const terminal of terminals) if (terminal.writableLength === 0) setBlocking(terminal, true)
  }
}

/** Writes to stderr. Only while it is guarded. */
export const write = (text: string): void => {
  try {
    process.stderr.write(text)
  } catch {
    // a stream that was replaced may throw
  }
}

/** Writes to stderr at once, as far as it takes it: for a process that ends now. */
export const writeNow = (text: string): void => {
  try {
    Fs.writeSync(process.stderr.fd, text)
  } catch {
    // full or gone: the process ends all the same
  }
}

/** Calls back when what was written to stdout and stderr has gone out, or the time is over; at once where nothing waits. */
export const flush = (then: () => void): void => {
  let waiting = 1
  let timer: NodeJS.Timeout | undefined
  const done = (): void => {
    if (--waiting > 0) return
    clearTimeout(timer)
    waiting = Infinity
    then()
  }
  for (const stream of streams()) {
    if (stream.writableLength === 0 || stream.destroyed) continue
    waiting++
    try {
      // its callback comes after those of all that was written before, with or without an error
      stream.write("", done)
    } catch {
      waiting--
    }
  }
  if (waiting > 1) {
    timer = setTimeout(() => {
      waiting = 1
      done()
    }, flushWithin)
  }
  done()
}

import * as Output from "./output.ts"

const eraseLine = "\r\u001b[2K"

/** What a live line needs of a stream, such as `process.stderr`. */
export interface Terminal {
  write: (...args: never) => boolean
  readonly columns?: number | undefined
  readonly isTTY?: boolean | undefined
  readonly writableLength?: number | undefined
}

/**
 * The last line of a terminal, rewritten in place. What others write there while
 * it is shown goes above it: the line is taken away first, and comes back with
 * the next `show`.
 */
export class LiveLine {
  private shown = false
  /** What others wrote last did not end its line. */
  private broken = false
  private release: (() => void) | undefined

  private readonly terminal: () => Terminal
  private readonly write: (text: string) => void
  private readonly others: () => ReadonlyArray<Terminal>

  constructor(
    terminal: () => Terminal = () => process.stderr,
    others: () => ReadonlyArray<Terminal> = () => [process.stdout, process.stderr],
    write: (text: string) => void = Output.write
  ) {
    this.terminal = terminal
    this.others = others
    this.write = write
  }

  show(text: string): void {
    // a stopped terminal has not taken the line before
    if ((this.terminal().writableLength ?? 0) > 0) return
    this.release ??= this.watch()
    const begin = this.broken ? "\n" : eraseLine
    this.broken = false
    this.own(begin + fit(text, (this.terminal().columns || 80) - 1))
    this.shown = true
  }

  /** Nothing of it is left, and nothing is watched. */
  clear(): void {
    this.erase()
    this.release?.()
    this.release = undefined
  }

  private erase(): void {
    if (!this.shown) return
    this.shown = false
    this.own(eraseLine)
  }

  private writing = false

  private own(text: string): void {
    this.writing = true
    this.write(text)
    this.writing = false
  }

  /** Notices what others write to the same terminal. */
  private watch(): () => void {
    const releases = this.others().filter(({ isTTY }) => isTTY === true).map((stream) => {
      const { write } = stream
      const inherited = !Object.hasOwn(stream, "write")
      const watched = (...args: ReadonlyArray<unknown>): boolean => {
        if (!this.writing) {
          this.erase()
          this.broken = !endsLine(args[0])
        }
        return Reflect.apply(write, stream, args)
      }
      stream.write = watched
      return () => {
        // where another has replaced it meanwhile, it stays below that one, and does nothing more
        if (stream.write !== watched) return
        if (inherited) Reflect.deleteProperty(stream, "write")
        else stream.write = write
      }
    })
    return () => {
      for (const release of releases) release()
    }
  }
}

const endsLine = (chunk: unknown): boolean =>
  typeof chunk === "string" ? chunk.endsWith("\n") : chunk instanceof Uint8Array ? chunk.at(-1) === 10 : true

/** Text that takes at most `columns`; an ellipsis stands for what is left out. */
export const fit = (text: string, columns: number): string => {
  const room = Math.max(1, columns)
  let used = 0
  let kept = ""
  let shorter = ""
  for (const character of text) {
    used += width(character)
    if (used > room) return `${shorter}…`
    kept += character
    if (used < room) shorter = kept
  }
  return text
}

/**
 * The columns a character takes, or more: Latin, Greek, Cyrillic and punctuation
 * take one, what begins with Hangul may take two.
 */
const width = (character: string): number => {
  const point = character.codePointAt(0) ?? 0
  return point < 0x1100 || (point >= 0x2000 && point < 0x2100) ? 1 : 2
}

/**
 * What a successor is started with: this program as it is now, not as it was
 * when this process started.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import type { UpgradeOptions } from "../../NodeHandover.ts"

export interface Command {
  readonly node: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string | undefined
  readonly env: Record<string, string | undefined>
}

/** The parts of `process` that a command is made of. */
export interface Origin {
  readonly argv: ReadonlyArray<string>
  readonly argv0: string
  readonly execPath: string
  readonly execArgv: ReadonlyArray<string>
  readonly env: Record<string, string | undefined>
}

/** The command, or why there is none. */
export const commandOf = (options: UpgradeOptions, origin: Origin): Command | string => {
  const program = options.program ?? origin.argv[1]
  if (program === undefined) return "this process was not started with a file: say by program what to start"
  return {
    node: nodeOf(origin),
    args: [
      ...withoutInspector(options.execArgv ?? origin.execArgv),
      program instanceof URL ? fileURLToPath(program) : program,
      ...options.args ?? origin.argv.slice(2)
    ],
    cwd: options.cwd,
    env: environmentWithoutInspector({ ...origin.env, ...options.env })
  }
}

/** Options of the inspector whose value may be the next argument. */
const takesValue: ReadonlySet<string> = new Set(["--inspect-port", "--debug-port", "--inspect-publish-uid"])

/** The port of the inspector is this process's. */
export const withoutInspector = (args: ReadonlyArray<string>): ReadonlyArray<string> =>
  args.filter((arg, index) => !/^--(inspect|debug)(-\w+)*(=|$)/.test(arg) && !takesValue.has(args[index - 1] ?? ""))

/** The same for an environment, in which Node has options, too. */
export const environmentWithoutInspector = (
  env: Record<string, string | undefined>
): Record<string, string | undefined> => {
  const { NODE_OPTIONS: options } = env
  return options === undefined ? env : { ...env, NODE_OPTIONS: withoutInspector(options.split(" ")).join(" ") }
}

/** As the shell found it: a symbolic link, or a name in PATH, may lead to a newer one by now. */
const nodeOf = ({ argv0, env, execPath }: Origin): string => {
  const candidates = argv0.includes("/")
    ? [Path.resolve(argv0)]
    : (env["PATH"] ?? "").split(Path.delimiter).map((folder) => Path.join(folder, argv0))
  return candidates.find(isExecutable) ?? execPath
}

const isExecutable = (file: string): boolean => {
  try {
    Fs.accessSync(file, Fs.constants.X_OK)
    return Fs.statSync(file).isFile()
  } catch {
    return false
  }
}

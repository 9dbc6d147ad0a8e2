import * as Os from "node:os"
import * as Path from "node:path"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"
import { tags } from "./scripts/verify/tools.ts"

const cores = Os.availableParallelism()

/** More than there are cores, where tests mostly wait: while one waits for a process or a deadline, another runs. */
const overlapping = Math.ceil(2.5 * cores)

// for the processes that run tests, and for those that tests start: compiled once, what they load takes half its time
process.env["NODE_COMPILE_CACHE"] ??= Path.join(import.meta.dirname, "node_modules/.cache/compiled")

/** What takes dozens of repetitions; `npm run test:long` runs them, `npm test` their short forms. */
const long = ["**/*.long.test.ts"]

/** Dozens of hand-overs and replacements under load, over each protocol: `pnpm unit --project endurance`. */
const endurance = ["**/*.endurance.test.ts"]

/** What clients lose under load: these have the machine to themselves, one after another. */
const load = ["**/*.load.test.ts"]

/** These open sockets and start processes, and spend most of their time waiting for them. */
const sockets = [
  "packages/node/test/**/*.test.ts",
  "packages/*/test/**/*.sockets.test.ts",
  "examples/test/**/*.test.ts",
  "benchmarks/test/**/*.test.ts"
]

/** What takes longest begins first: none of it runs on alone in the end. */
const longest =
  /\/(?:http-server\.http|NodeWorkers|NodeMain\.\w+|NodeInherit|NodeHandover|Listener\.leaks|TransportLaws\.sockets|bench|soak|demo|cluster|site|published|docExamples)\.test\.ts$/

class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification): boolean => longest.test(moduleId)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    setupFiles: ["./vitest.setup.ts"],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // what a test needs beyond Node and npm: without it the test is not run, and `pnpm verify` says so
    tags,
    projects: [
      {
        extends: true,
        test: {
          name: "virtual",
          include: ["packages/{core,testing}/test/**/*.test.ts"],
          exclude: [...sockets, ...load, ...long, ...endurance],
          maxWorkers: cores,
          // they share nothing but what they load, which is a third of their time
          isolate: false,
          sequence: { groupOrder: 0 }
        }
      },
      {
        extends: true,
        test: {
          name: "scripts",
          include: ["scripts/test/**/*.test.ts"],
          exclude: long,
          maxWorkers: overlapping,
          isolate: false,
          sequence: { groupOrder: 1 }
        }
      },
      {
        extends: true,
        test: {
          name: "sockets",
          include: sockets,
          exclude: [...load, ...long, ...endurance],
          maxWorkers: overlapping,
          sequence: { groupOrder: 1 }
        }
      },
      {
        extends: true,
        test: {
          name: "load",
          include: load.map((pattern) => `{packages,examples}/${pattern}`),
          fileParallelism: false,
          sequence: { groupOrder: 2 }
        }
      },
      {
        extends: true,
        test: {
          name: "long",
          include: long.map((pattern) => `{packages,examples,scripts,benchmarks}/${pattern}`),
          testTimeout: 600_000,
          fileParallelism: false,
          sequence: { groupOrder: 3 }
        }
      },
      {
        extends: true,
        test: {
          name: "endurance",
          include: endurance.map((pattern) => `{packages,examples,scripts}/${pattern}`),
          testTimeout: 900_000,
          fileParallelism: false,
          sequence: { groupOrder: 4 }
        }
      }
    ]
  }
})

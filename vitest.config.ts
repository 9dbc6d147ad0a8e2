import * as Os from "node:os"
import { defineConfig } from "vitest/config"
import { tags } from "./scripts/verify/tools.ts"

// Files that open sockets or start processes measure real time. On two cores two of them at once make each other
// late, so they run one after another, and only after the files that use the virtual clock, which cannot be made late
// and run side by side.
const sockets = [
  "packages/node/test/**/*.test.ts",
  "packages/*/test/**/*.sockets.test.ts",
  "examples/test/**/*.test.ts",
  "benchmarks/test/**/*.test.ts",
  "scripts/test/**/*.test.ts"
]

export default defineConfig({
  test: {
    setupFiles: ["./vitest.setup.ts"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // what a test needs beyond Node and npm: without it the test is not run, and `pnpm verify` says so
    tags,
    projects: [
      {
        extends: true,
        test: {
          name: "virtual",
          include: ["packages/{core,testing}/test/**/*.test.ts"],
          exclude: sockets,
          maxWorkers: Os.availableParallelism(),
          sequence: { groupOrder: 0 }
        }
      },
      {
        extends: true,
        test: {
          name: "sockets",
          include: sockets,
          fileParallelism: false,
          sequence: { groupOrder: 1 }
        }
      }
    ]
  }
})

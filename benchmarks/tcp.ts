/** A handler of bytes on plain TCP. */
import { type Benchmark, compare, loads, measuredOf, series } from "./support/benchmark.ts"
import { messages, requests, transfer } from "./support/load.ts"

const servers = (what: string) => ({
  bare: { program: "tcp.ts", args: ["bare", what] },
  "a fiber": { program: "tcp.ts", args: ["fiber", what] },
  effect: { program: "tcp.ts", args: ["effect", what] },
  ours: { program: "tcp.ts", args: ["ours", what] }
})

/** Where ours is given what comes by `Connection.runForEach`: a loop that pulls, as the others have, as well. */
const withPulling = (what: string) => ({
  ...servers(what),
  "ours, pulling": { program: "tcp.ts", args: ["pulling", what] }
})

/** As most handlers are written: with a scope of their own, or with a generator function of their own. */
const asWritten = {
  "ours, own scope": { program: "tcp.ts", args: ["scoped", "answer"] },
  "a fiber, own generator": { program: "tcp.ts", args: ["fiberGenerator", "answer"] },
  "ours, own generator": { program: "tcp.ts", args: ["generator", "answer"] }
}

export const accept: Benchmark = {
  name: "accept",
  title: "Connect, one exchange, close",
  description: "64 connections, each closed after one request and its answer (wrk, Connection: close), and a handler "
    + "on plain TCP that reads once, answers 59 bytes and ends. Bare is node:net, Effect its NodeSocketServer; a fiber is "
    + "the same handler and its scope on bare node:net, with nothing that waits for it or ends it: the least that Effect costs. "
    + "Ours is given its options and its function once. Own scope: the handler runs under `Effect.scoped`, with the default "
    + "options. Own generator: `Effect.gen` with a generator function that is made anew for each connection, as a handler "
    + "written in place has it. Memory is what the process has after each round, garbage included.",
  targets: [
    { series: "throughput", who: "ours", of: "ratio", atLeast: 0.9 },
    { series: "throughput", who: "ours, own scope", of: "ratio", atLeast: 0.95 },
    { series: "throughput", who: "ours, own generator", base: "a fiber, own generator", of: "ratio", atLeast: 0.97 },
    { series: "CPU", who: "ours", of: "ratio", atLeast: 1 },
    { series: "memory under load", who: "ours, own scope", base: "ours", of: "ratio", atMost: 1.05 }
  ],
  costs: [
    ["write(2) of the answer and close(2), which bare Node pays, too", "37 % of the busy time"],
    [
      "beyond bare Node: 12 to 20 µs of CPU, where it takes 37 to 44, in profiles on a busy machine",
      "4 the files of this library, 2 Effect's (the fiber and its scope), 4 built-ins that both call, the rest native code and the kernel. As much "
      + "as bare Node is out of reach for any handler in a fiber: `a fiber`, which has nothing of this library, takes more than ours"
    ],
    [
      "a scope of the handler's own",
      "6 to 7 % of what is allocated: what Effect's costs anywhere. It ends what it has acquired before the connection "
      + "ends (decision 65)"
    ],
    [
      "the handler's fiber and its scope, which `a fiber` pays, too",
      "9 %: `runLoop`, `evaluate`, `makeExit` of effect"
    ],
    ["what the listener and the drain have to know, and how the socket ends", "8 %: the files of this library"],
    [
      "the remote address, asked for once a connection",
      "5 %: `getpeername`; bare Node asks when it is read, when the system may have forgotten it"
    ],
    ["garbage", "3 %"]
  ],
  run: async (settings) => {
    const measured = await compare(
      measuredOf({ ...servers("answer"), ...asWritten }, "bare", settings),
      settings,
      async (server, seconds) => ({
        ...await requests(server, { close: true, seconds }),
        resident: await server.ask("resident")
      })
    )
    return [
      ...loads(measured, "connections", "bare"),
      series(
        measured,
        { label: "memory under load", unit: "MiB", better: "less", base: "bare" },
        ({ resident }) => resident / 2 ** 20
      )
    ]
  }
}

export const echo: Benchmark = {
  name: "echo",
  title: "Messages on connections that stay",
  description: "64 connections, on each a message of 64 bytes there and back, and the next (a client on node:net). "
    + "Ours is given each by `Connection.runForEach`; a loop that pulls is what the handlers of Effect and of `a fiber` are, too. "
    + "The client needs as much CPU as a server: the CPU time of the server is what tells them apart.",
  targets: [
    { series: "throughput", who: "ours", of: "ratio", atLeast: 0.95 },
    { series: "throughput", who: "ours, pulling", of: "ratio", atLeast: 0.9 }
  ],
  costs: [
    ["write(2), which bare Node pays, too", "62 % of the busy time"],
    [
      "giving what came to its handler, and telling the listener",
      "1 %: the files of this library, and the clock that they ask"
    ],
    [
      "a loop that pulls: suspending a fiber and resuming it, a pull and a write of Effect's socket",
      "2.0 µs in the program, where bare Node takes 2.4 in all; `a fiber`, which has nothing of this library, pays 1.7 of them, and Effect's own server 1.6"
    ]
  ],
  run: async (settings) =>
    loads(await compare(measuredOf(withPulling("echo"), "bare", settings), settings, messages), "messages", "bare")
}

/** What the allocator does after a collection differs from one process to the next by a factor of two. */
const transfers = { roundsOfProcess: 1, warmUp: 1 }

const whole = (direction: "upload" | "download"): Benchmark["run"] => async (settings) =>
  loads(
    await compare(
      measuredOf(direction === "upload" ? withPulling("sink") : servers("source"), "bare", settings),
      { ...settings, rounds: Math.min(9, settings.rounds) },
      (server) => transfer(server, direction, 2 ** 30 / settings.scale),
      transfers
    ),
    "MiB",
    "bare"
  )

export const upload: Benchmark = {
  name: "upload",
  title: "One client sends 1 GiB",
  description: "One connection, which the server reads to its end and answers then with the number of bytes. Ours is "
    + "given what comes by `Connection.runForEach`; a loop that pulls is what the handlers of Effect and of `a fiber` are, "
    + "too. New processes each round, because what the allocator does with read buffers differs from one to the next by a "
    + "factor of two.",
  targets: [{ series: "throughput", who: "ours", of: "ratio", atLeast: 0.95 }],
  costs: [
    [
      "new memory for the buffers of reads, whoever reads",
      "page faults, from 1 to 56 a MiB, up to half of the CPU time: each full collection frees 64 MiB of buffers, and glibc "
      + "gives that back to the system, or not. In one process it does, in another of the same code it does not"
    ],
    ["a fiber that pulls, where there is one", "60 µs a MiB, which is 18 reads"]
  ],
  run: whole("upload")
}

export const download: Benchmark = {
  name: "download",
  title: "One client is sent 1 GiB",
  description: "One connection, written in pieces of 64 KiB as fast as the client takes them.",
  targets: [{ series: "throughput", who: "ours", of: "ratio", atLeast: 0.95 }],
  run: whole("download")
}

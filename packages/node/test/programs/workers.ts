/** A supervisor of `worker.ts`, which tells on stdout, in JSON lines, all that becomes of its workers. */
import * as NodeWorkers from "@effect-listener/node/NodeWorkers"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"

const { BEHAVIOUR_FILE = "", DRAIN_MS = "10000", HOOKS, READY_MS = "180000", UNIX_PATH, WORKERS = "2" } = process.env

const print = (event: object): Effect.Effect<void> => Effect.sync(() => console.log(JSON.stringify(event)))

const portOf = (address: NetAddress.SocketAddress | undefined): number | undefined =>
  address !== undefined && NetAddress.isInetAddress(address) ? address.port : undefined

/** And dies after it, where the environment says so. */
const told = (event: object): Effect.Effect<void> =>
  HOOKS === "die" ? Effect.andThen(print(event), Effect.die(new Error("the hook is broken"))) : print(event)

NodeWorkers.runMain({
  program: new URL("worker.ts", import.meta.url),
  workers: Number(WORKERS),
  sockets: {
    service: UNIX_PATH === undefined || UNIX_PATH === ""
      ? { host: "127.0.0.1", port: 0 }
      : { path: UNIX_PATH, mode: 0o600 }
  },
  // a new version is a changed file here
  env: ({ generation, slot }) => ({
    BEHAVIOUR: Fs.readFileSync(BEHAVIOUR_FILE, "utf8"),
    SLOT: String(slot),
    GENERATION: String(generation)
  }),
  readyWithin: Number(READY_MS),
  drain: { deadline: Number(DRAIN_MS) },
  admin: { host: "127.0.0.1", port: 0 },
  onOpen: ({ addresses: { admin, service }, workers }) =>
    Effect.gen(function*() {
      const tell = Stream.runForEach(workers.events, ({ _tag: what, ...rest }) =>
        print({ event: "worker", what, at: performance.now(), ...rest }))
      yield* Effect.forkDetach(tell, { startImmediately: true })
      yield* print({ event: "open", port: portOf(service), admin: portOf(admin) })
    }),
  onReplaced: (report) => told({ event: "replaced", report }),
  onClosed: (report) => told({ event: "closed", report })
})

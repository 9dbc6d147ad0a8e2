/**
 * One error of each tag, with every optional field filled in.
 */
import type { DrainReport } from "../../src/DrainReport.ts"
import * as ListenerError from "../../src/ListenerError.ts"

export const report: DrainReport = {
  listener: "api",
  reason: "SIGTERM",
  outcome: "DeadlineExceeded",
  duration: 20_512.25,
  swept: 3,
  sweepCut: true,
  queue: "swept",
  refused: 2,
  connections: {
    total: 21,
    drained: 1,
    idle: 2,
    endedByPeer: 3,
    failed: 4,
    cut: 1,
    closer: 0,
    detached: 4,
    neverAccepted: 6
  },
  cut: [{
    id: 7,
    remote: "10.0.0.7:50112",
    protocol: "tcp",
    phase: "Active",
    exchanges: [{ label: "GET /export", age: 41_000 }, { label: "GET /", age: 2.5 }],
    age: 45_000,
    bytesIn: 1024,
    bytesOut: 4_194_304,
    bytesPending: 1_258_292
  }],
  handlersLeftBehind: [{
    id: 8,
    remote: "/run/api.sock",
    protocol: "unix",
    phase: "Flushing",
    exchanges: [],
    age: 0,
    bytesIn: 0,
    bytesOut: 0,
    bytesPending: 0
  }]
}

const at = { listener: "api", trail: ["while draining", "while deploying 1.2.3"] }
const open = { ...at, operation: "open" }
const close = { ...at, operation: "close" }
const transportFailure = new ListenerError.TransportFailure({
  listener: "api",
  operation: "accept",
  trail: ["in the pump"],
  code: "EBADF",
  cause: new TypeError("accept EBADF", { cause: new Error("the descriptor was closed") })
})

export const samples: {
  readonly [Tag in ListenerError.ListenerError["_tag"]]: Extract<ListenerError.ListenerError, { readonly _tag: Tag }>
} = {
  InvalidOperation: new ListenerError.InvalidOperation({ ...open, state: "Open" }),
  InvalidArgument: new ListenerError.InvalidArgument({
    ...open,
    parameter: "drain.deadline",
    detail: "is negative (-5)"
  }),
  OperationAborted: new ListenerError.OperationAborted({ ...close, report }),
  OperationTimedOut: new ListenerError.OperationTimedOut({ ...close, deadline: 20_000, report }),
  ListenerFaulted: new ListenerError.ListenerFaulted({ ...at, operation: "accept", reason: transportFailure }),
  QuotaExceeded: new ListenerError.QuotaExceeded({ ...open, quota: "open files", limit: 1024 }),
  AddressInUse: new ListenerError.AddressInUse({ ...open, address: "127.0.0.1:8080" }),
  AddressNotAvailable: new ListenerError.AddressNotAvailable({ ...open, address: "192.0.2.1:8080" }),
  AccessDenied: new ListenerError.AccessDenied({ ...open, address: "0.0.0.0:80" }),
  SecurityFailure: new ListenerError.SecurityFailure({ ...open, detail: "the key does not fit the certificate" }),
  NotSupported: new ListenerError.NotSupported({ ...open, feature: "reusePort" }),
  TransportFailure: transportFailure
}

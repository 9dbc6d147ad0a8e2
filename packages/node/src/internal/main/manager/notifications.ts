/**
 * What a service manager is told of a program, sd_notify(3): which assignments
 * go out at which event. Pure.
 */

export type ServiceEvent =
  /** Its listeners take connections. */
  | { readonly type: "Ready" }
  /** It closes, for good. */
  | { readonly type: "Closing"; readonly line: string }
  /** Its close goes on. Milliseconds since the manager was last asked for more time. */
  | { readonly type: "Progress"; readonly line: string; readonly sinceExtended: number }
  /** Another process is the service from now on. */
  | { readonly type: "HandedOver"; readonly pid: number }

/** How often a close that takes long asks for more time, and for how much (ms): three times as much as until it asks again. */
const extendEvery = 5000
const extendBy = 3 * extendEvery

export const assignments = (event: ServiceEvent): ReadonlyArray<string> => {
  switch (event.type) {
    case "Ready":
      return ["READY=1", "STATUS=accepting"]
    case "Closing":
      return ["STOPPING=1", `STATUS=${oneLine(event.line)}`]
    case "Progress":
      return [
        `STATUS=${oneLine(event.line)}`,
        ...event.sinceExtended >= extendEvery ? [`EXTEND_TIMEOUT_USEC=${extendBy * 1000}`] : []
      ]
    case "HandedOver":
      return [`MAINPID=${event.pid}`, `STATUS=handed over to process ${event.pid}`]
  }
}

/** A status ends at the first line end; a label may hold what a client sent. */
const oneLine = (text: string): string => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, " ")

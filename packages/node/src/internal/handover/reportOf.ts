import type { DrainReport } from "@effect-listener/core/DrainReport"
import type { Report } from "../inherit/protocol.ts"
import { totalsOf, worst } from "../reports/reports.ts"

/** The reports of one close as one: that of the only listener, or as a host's. */
export const reportOf = (reports: ReadonlyArray<DrainReport>, duration: number): Report =>
  reports.length === 1 ? reports[0]! : {
    host: "all",
    reason: reports[0]?.reason ?? "handover",
    outcome: worst(reports.map(({ outcome }) => outcome)),
    duration,
    listeners: reports,
    totals: totalsOf(reports)
  }

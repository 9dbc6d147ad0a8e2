/**
 * The laws, each with what it demands.
 */
import * as accepted from "./accepted.ts"
import * as bounds from "./bounds.ts"
import * as errors from "./errors.ts"
import * as idle from "./idle.ts"
import type { Law } from "./lawSuite.ts"
import * as leaks from "./leaks.ts"
import * as requests from "./requests.ts"
import * as responses from "./responses.ts"
import type { Subject } from "./subject.ts"

export const laws: ReadonlyArray<Law<Subject>> = [
  { number: 1, name: "what was accepted is served or counted, never reset", checks: accepted.checks },
  { number: 2, name: "no request is executed and then loses its answer", checks: requests.checks },
  { number: 3, name: "a response, once begun, is delivered whole", checks: responses.checks },
  { number: 4, name: "after close nothing is left", checks: leaks.checks },
  { number: 5, name: "close ends within its bounds", checks: bounds.checks },
  { number: 6, name: "nothing waits for what is idle", checks: idle.checks },
  { number: 7, name: "every error is a tag, and every connection ends for one reason", checks: errors.checks }
]

/**
 * The laws of datagrams, each with what it demands.
 */
import type { Law } from "../laws/lawSuite.ts"
import * as answers from "./answers.ts"
import * as arrival from "./arrival.ts"
import * as ends from "./ends.ts"
import type { Subject } from "./subject.ts"

export const laws: ReadonlyArray<Law<Subject>> = [
  { number: 1, name: "what has arrived is handled or counted", checks: arrival.checks },
  { number: 2, name: "no datagram is handled and then loses its answer without a word", checks: answers.lostAnswers },
  { number: 3, name: "an answer arrives as it was given", checks: answers.wholeAnswers },
  { number: 4, name: "after close nothing is left", checks: ends.leaks },
  { number: 5, name: "close ends within its bounds", checks: ends.bounds },
  { number: 6, name: "nothing waits for what is idle", checks: ends.idle },
  { number: 7, name: "every error is a tag, and every datagram ends for one reason", checks: ends.errors }
]

import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { Command } from "./model.ts"

/** What is due comes more often than the rest, or most walks would stay in Created and Opening. */
export const commands: Arbitrary.Arbitrary<ReadonlyArray<Command>> = Arbitrary.array(
  Arbitrary.schema(Schema.Literals([
    "open",
    "bound",
    "open",
    "bound",
    "open",
    "bound",
    "connect",
    "accept",
    "connect",
    "accept",
    "release",
    "close",
    "swept",
    "release",
    "reset",
    ...Command.literals
  ])),
  { maxLength: 50 }
)

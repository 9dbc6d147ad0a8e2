/**
 * Counts the requests a program executes, and says on stderr in the end how
 * many: none of those that its clients were not answered should be among them.
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"

export const countRequests = HttpRouter.middleware(
  Effect.gen(function*() {
    let executed = 0
    yield* Effect.addFinalizer(() => Effect.logInfo(`executed ${executed} requests`))
    return (answer) =>
      Effect.suspend(() => {
        executed++
        return answer
      })
  }),
  { global: true }
)

declare module "stoppable" {
  import type * as Http from "node:http"

  /** Adds `stop` to a server: ends what is idle, and what is left after `grace` milliseconds. */
  const stoppable: (server: Http.Server, grace: number) => Http.Server & { stop: (done?: () => void) => void }
  export default stoppable
}

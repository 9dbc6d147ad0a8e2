import { ListenerHost } from "@effect-listener/core"
import { ListenerInspector, NodeHttp } from "@effect-listener/node"
import { Layer } from "effect"
import { HttpRouter } from "effect/http"
import { routes } from "./routes.ts"

const quiet = { disableListenLog: true, disableLogger: true }

/** Where to listen. A port of 0 takes any that is free. */
export interface Options {
  readonly host: string
  readonly port: number
  /** Where probes, metrics and the page are asked for: keep the world out of it. */
  readonly adminHost: string
  readonly adminPort: number
}

/** The service and its admin port: they open, drain and close as one. */
export const service = ({ adminHost, adminPort, host, port }: Options) =>
  ListenerHost.provide(
    Layer.merge(
      HttpRouter.serve(routes, quiet).pipe(Layer.provide(NodeHttp.layer({ name: "http", host, port }))),
      HttpRouter.serve(ListenerInspector.layer(), quiet).pipe(
        Layer.provide(NodeHttp.layer({ name: "admin", host: adminHost, port: adminPort }))
      )
    ),
    {
      name: "my-service",
      admin: ["admin"],
      // not ready, but still accepting, until proxies have heard of it; deploy/kubernetes.yaml adds these up
      drain: { lameDuck: { min: "2 seconds", quiet: "1 second", max: "5 seconds" }, deadline: "20 seconds" }
    }
  )

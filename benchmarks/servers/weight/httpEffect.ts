import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"

const Hello = HttpRouter.add("GET", "/", HttpServerResponse.text("hello"))
const Server = NodeHttpServer.layer(createServer, { port: 0 })

NodeRuntime.runMain(Layer.launch(Layer.provide(HttpRouter.serve(Hello), Server)))

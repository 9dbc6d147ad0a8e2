import { NodeHttp, NodeMain } from "@effect-listener/node"
import { Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"

const Hello = HttpRouter.add("GET", "/", HttpServerResponse.text("hello"))
const Server = NodeHttp.layer({ port: 0, drain: { deadline: "10 seconds" } })

NodeMain.runMain(Layer.launch(Layer.provide(HttpRouter.serve(Hello), Server)))

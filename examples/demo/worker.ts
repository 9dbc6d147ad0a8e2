/** A worker of the demo's service. */
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { application } from "./application.ts"

const program = Layer.provide(application, NodeHttp.layer({ host: "127.0.0.1", port: 0, inherit: "http" }))

NodeMain.runMain(Effect.provideService(Layer.launch(program), Logger.LogToStderr, true))

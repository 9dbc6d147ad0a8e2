import { NodeMain } from "@effect-listener/node"
import { Config, Effect, Layer } from "effect"
import { service } from "./service.ts"

const options = Config.all({
  host: Config.String("HOST").pipe(Config.withDefault("::")),
  port: Config.Port("PORT").pipe(Config.withDefault(8080)),
  adminHost: Config.String("ADMIN_HOST").pipe(Config.withDefault("127.0.0.1")),
  adminPort: Config.Port("ADMIN_PORT").pipe(Config.withDefault(9090))
})

NodeMain.runMain(Layer.launch(Layer.unwrap(Effect.map(options, service))))

/** What the application and its clients share: the schemas of its API and of its calls. */
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

const Millis = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

class Reports extends HttpApiGroup.make("reports")
  .add(
    /** Takes `millis` to make. */
    HttpApiEndpoint.get("make", "/:name", {
      params: { name: Schema.NonEmptyString },
      query: { millis: Millis },
      success: Schema.Struct({ report: Schema.String })
    })
  )
  .prefix("/api/reports")
{}

export class Api extends HttpApi.make("application").add(Reports) {}

export class Calls extends RpcGroup.make(
  /** Takes `millis`. */
  Rpc.make("work", { payload: { id: Schema.Int, millis: Millis }, success: Schema.Int }),
  /** Numbers from 1, one every `millis`. */
  Rpc.make("count", { payload: { to: Schema.Int, millis: Millis }, success: Schema.Int, stream: true })
) {}

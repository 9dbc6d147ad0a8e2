import * as NodeWS from "@effect/platform-node/NodeWS"
import { upgradedOf } from "../nodeHttpServers.ts"

/** A WebSocket server of `ws` that tells a connection what it has become. */
export class UpgradingServer extends NodeWS.WebSocketServer {
  override handleUpgrade(...[request, socket, head, done]: Parameters<NodeWS.WebSocketServer["handleUpgrade"]>): void {
    super.handleUpgrade(request, socket, head, (webSocket, request) => {
      upgradedOf(socket)?.opened(webSocket)
      this.opened(webSocket)
      done(webSocket, request)
    })
  }
  protected opened(_webSocket: NodeWS.WebSocket): void {}
}

import * as NodeWS from "@effect/platform-node/NodeWS"
import { upgradedOf } from "../nodeHttpServers.ts"

/** How often a client is asked whether it is there, in milliseconds. */
const defaultPing = 30_000

/** A WebSocket server of `ws` that tells a connection what it has become. */
export class UpgradingServer extends NodeWS.WebSocketServer {
  override handleUpgrade(...[request, socket, head, done]: Parameters<NodeWS.WebSocketServer["handleUpgrade"]>): void {
    super.handleUpgrade(request, socket, head, (webSocket, request) => {
      upgradedOf(socket)?.opened(webSocket)
      this.opened(webSocket)
      done(webSocket, request)
    })
  }

  /** Its handshake is done. */
  protected opened(webSocket: NodeWS.WebSocket): void {
    keepAsking(webSocket, defaultPing)
  }
}

/** A client that does not answer by the next ping has gone, unless it is our side that does not read. */
export const keepAsking = (webSocket: NodeWS.WebSocket, interval: number): void => {
  let answered = true
  webSocket.on("pong", () => {
    answered = true
  })
  const timer = setInterval(() => {
    if (!answered && !webSocket.isPaused) return webSocket.terminate()
    answered = false
    if (webSocket.readyState === webSocket.OPEN) webSocket.ping()
  }, interval)
  webSocket.once("close", () => clearInterval(timer))
}

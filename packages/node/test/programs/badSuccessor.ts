/**
 * A successor that does what it should not, as `MISBEHAVE` says. It speaks the
 * protocol by hand, and prints its pid first.
 */
import * as Fs from "node:fs"
import * as Net from "node:net"

const { channel, sockets } = JSON.parse(process.env["EFFECT_LISTENER_INHERIT"] ?? "{}") as {
  readonly channel: number
  readonly sockets: ReadonlyArray<{ readonly fd: number }>
}
const mode = process.env["MISBEHAVE"]
Fs.writeSync(1, `${JSON.stringify({ event: "bad", pid: process.pid, mode })}\n`)

const say = (line: string) => Fs.writeSync(channel, line)
const sayType = (type: string) => say(`${JSON.stringify({ type })}\n`)
const accepting = `${JSON.stringify({ type: "accepting", probes: 1 })}\n`
const stay = () => setInterval(() => {}, 1000)

const onGo = (then: () => void) => {
  const pipe = new Net.Socket({ fd: channel })
  pipe.once("data", then)
  pipe.on("error", () => {})
}

switch (mode) {
  case "exit":
    process.exit(3)
    break
  case "hang":
    stay()
    break
  case "nonsense":
    say("ready\n")
    stay()
    break
  case "early":
    say(accepting)
    stay()
    break
  case "twice":
    sayType("prepared")
    sayType("prepared")
    stay()
    break
  case "silent":
    Fs.closeSync(channel)
    stay()
    break
  case "prepared, then exit":
    sayType("prepared")
    onGo(() => process.exit(4))
    break
  case "prepared, then hang":
    sayType("prepared")
    onGo(stay)
    break
  case "listens, then dies":
    sayType("prepared")
    onGo(() => {
      Net.createServer().listen({ fd: sockets[0]!.fd }, () => process.kill(process.pid, "SIGKILL"))
    })
    break
  case "accepts twice":
    sayType("prepared")
    onGo(() => {
      say(accepting + accepting)
      stay()
    })
    break
}

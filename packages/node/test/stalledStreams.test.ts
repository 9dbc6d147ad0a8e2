import { assert, describe, it } from "vitest"
import { StalledStreams } from "../src/internal/http/protocols/stalledStreams.ts"

/** Bytes that have to leave in the time. */
const step = 64 * 1024

const stream = (name: string, writableLength: number) => ({ name, writableLength })

const stalled = (largestChunk = Infinity) => new StalledStreams<ReturnType<typeof stream>>(1000, () => largestChunk)

const names = (streams: ReadonlyArray<{ readonly name: string }>) => streams.map(({ name }) => name)

describe("streams of an HTTP/2 session that wait for their client", () => {
  it("stand still together when the window of the session does, whatever they owe", () => {
    const [one, other] = [stream("one", 20 * step), stream("other", 1)]
    const look = stalled()
    assert.deepStrictEqual(look.look([one, other], 100, 0), [])
    assert.deepStrictEqual(look.look([one, other], 100, 999), [])
    assert.deepStrictEqual(names(look.look([one, other], 100, 1000)), ["one", "other"])
  })

  it("are found beside others that flow, and those that owe nothing never", () => {
    const [still, flowing, event] = [stream("still", 100), stream("flowing", 100), stream("event", 0)]
    const look = stalled()
    for (let now = 0; now < 1000; now += 250) {
      flowing.writableLength += 1
      assert.deepStrictEqual(look.look([still, flowing, event], now, now), [])
    }
    flowing.writableLength += 1
    assert.deepStrictEqual(names(look.look([still, flowing, event], 1000, 1000)), ["still"])
  })

  it("have the time again with each chunk that is out, and for each 64 KiB of one", () => {
    const [slow, flowing] = [stream("slow", 2 * step + 1), stream("flowing", 0)]
    const look = stalled()
    const at = (now: number) => names(look.look([slow, flowing], now, now))
    assert.deepStrictEqual(at(0), [])
    assert.deepStrictEqual(at(2999), [])
    slow.writableLength -= step
    assert.deepStrictEqual(at(3000), [])
    assert.deepStrictEqual(at(4999), [])
    assert.deepStrictEqual(at(5000), ["slow"])
  })

  it("have it for no more than the largest chunk, however much they owe", () => {
    const [still, flowing] = [stream("still", 20 * step), stream("flowing", 0)]
    const look = stalled(2 * step)
    assert.deepStrictEqual(look.look([still, flowing], 0, 0), [])
    assert.deepStrictEqual(look.look([still, flowing], 1, 1999), [])
    assert.deepStrictEqual(names(look.look([still, flowing], 2, 2000)), ["still"])
  })

  it("are never ended where the only one takes a byte now and then", () => {
    const only = stream("only", 20 * step)
    const look = stalled(step)
    for (let now = 0; now < 60_000; now += 900) assert.deepStrictEqual(look.look([only], now, now), [])
  })
})

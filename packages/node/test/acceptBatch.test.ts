import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { AcceptBatch } from "../src/internal/listen/queue/acceptBatch.ts"
import { turns } from "./support/resources.ts"

/** A batch with a clock of its own, and how often it handed over. */
const batching = (backlog = 100) =>
  Effect.gen(function*() {
    const seen = { now: 0, handOvers: 0 }
    const clock = vi.spyOn(performance, "now").mockImplementation(() => seen.now)
    const batch = new AcceptBatch(backlog, () => {
      seen.handOvers++
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        batch.stop()
        clock.mockRestore()
      })
    )
    /** One comes: whether it is held. */
    const comes = (): boolean => {
      const held = batch.batches()
      if (held) batch.add()
      return held
    }
    return { batch, comes, seen }
  })

describe("AcceptBatch", () => {
  it.live("does not hold a client that comes alone", () =>
    Effect.gen(function*() {
      const { comes, seen } = yield* batching()
      for (seen.now of [0, 0.25, 0.5, 10]) assert.isFalse(comes())
    }))

  it.live("holds a client that comes soon after another, until a turn in which none came", () =>
    Effect.gen(function*() {
      const { comes, seen } = yield* batching()
      assert.isFalse(comes())
      seen.now = 0.2
      for (let turn = 0; turn < 5; turn++) {
        assert.isTrue(comes())
        yield* turns(1)
        assert.strictEqual(seen.handOvers, 0)
      }
      yield* turns(1)
      assert.strictEqual(seen.handOvers, 1)
      // and begins anew
      seen.now = 1
      assert.isFalse(comes())
    }))

  it.live("lets later clients wait for the same moment, so that none is overtaken", () =>
    Effect.gen(function*() {
      const { comes, seen } = yield* batching()
      comes()
      assert.isTrue(comes())
      seen.now = 5
      assert.isTrue(comes())
      yield* turns(1)
      assert.strictEqual(seen.handOvers, 1)
    }))

  it.live("lets no client wait longer than 1 ms and the turn that is under way", () =>
    Effect.gen(function*() {
      const { comes, seen } = yield* batching()
      comes()
      for (let turn = 1; turn <= 5; turn++) {
        assert.strictEqual(seen.handOvers, 0)
        seen.now = turn * 0.2
        assert.isTrue(comes())
        // the second came at 0.2
        if (turn === 5) seen.now = 1.2
        yield* turns(1)
      }
      assert.strictEqual(seen.handOvers, 1)
    }))

  it.live.each([[100, 16], [16, 16], [3, 3], [2, 2]] as const)(
    "hands over before there is no room: with room for %i, %i at a time",
    ([backlog, most]) =>
      Effect.gen(function*() {
        const { comes, seen } = yield* batching(backlog)
        comes()
        for (let held = 1; held <= most; held++) {
          assert.strictEqual(seen.handOvers, 0)
          assert.isTrue(comes())
        }
        assert.strictEqual(seen.handOvers, 1)
        yield* turns(2)
        assert.strictEqual(seen.handOvers, 1)
      })
  )

  it.live("holds no client where there is room for one", () =>
    Effect.gen(function*() {
      const { comes } = yield* batching(1)
      for (let i = 0; i < 5; i++) assert.isFalse(comes())
    }))

  it.live("stopped, hands over nothing, and keeps no turn", () =>
    Effect.gen(function*() {
      const { batch: stopped, comes, seen } = yield* batching()
      comes()
      comes()
      assert.include(process.getActiveResourcesInfo(), "Immediate")
      stopped.stop()
      assert.notInclude(process.getActiveResourcesInfo(), "Immediate")
      yield* turns(3)
      assert.strictEqual(seen.handOvers, 0)
    }))
})

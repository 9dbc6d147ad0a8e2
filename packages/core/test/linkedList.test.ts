import { assert, describe, it } from "@effect/vitest"
import { type Linked, LinkedList } from "../src/internal/util/linkedList.ts"

class Item implements Linked<Item> {
  readonly name: string
  list: LinkedList<Item> | undefined
  previous: Item | undefined
  next: Item | undefined

  constructor(name: string) {
    this.name = name
  }
}

const listOf = (...names: ReadonlyArray<string>) => {
  const list = new LinkedList<Item>()
  const items = names.map((name) => new Item(name))
  for (const item of items) list.add(item)
  return { list, items } as const
}

/** What is in it, from both ends. */
const names = (list: LinkedList<Item>): string => {
  const forth = list.toArray()
  const back: Array<Item> = []
  for (let item = forth.at(-1); item !== undefined; item = item.previous) back.push(item)
  assert.deepStrictEqual(back.reverse(), forth)
  assert.strictEqual(list.first, forth[0])
  assert.strictEqual(list.size, forth.length)
  return forth.map((item) => item.name).join("")
}

describe("LinkedList", () => {
  it("keeps the order in which its items came", () => {
    const { list } = listOf("a", "b", "c")
    list.addFirst(new Item("0"))
    assert.strictEqual(names(list), "0abc")
    assert.strictEqual(names(listOf().list), "")
  })

  it.each([{ at: 0, left: "bc" }, { at: 1, left: "ac" }, { at: 2, left: "ab" }])(
    "takes out item $at, once, which then refers to no other",
    ({ at, left }) => {
      const { items, list } = listOf("a", "b", "c")
      const item = items[at]!
      assert.isTrue(list.delete(item))
      assert.strictEqual(names(list), left)
      assert.deepStrictEqual([item.list, item.previous, item.next], [undefined, undefined, undefined])
      assert.isFalse(list.delete(item))
      list.add(item)
      assert.strictEqual(names(list), left + item.name)
    }
  )

  it("takes out the only one", () => {
    const { items, list } = listOf("a")
    assert.isTrue(list.delete(items[0]!))
    assert.strictEqual(names(list), "")
    list.addFirst(items[0]!)
    assert.strictEqual(names(list), "a")
  })

  it("takes none out that is in another, and has each once", () => {
    const one = listOf("a", "b")
    const other = listOf("c")
    assert.isFalse(other.list.delete(one.items[0]!))
    other.list.add(one.items[0]!)
    assert.strictEqual(names(one.list), "b")
    assert.strictEqual(names(other.list), "ca")
    other.list.addFirst(one.items[0]!)
    assert.strictEqual(names(other.list), "ac")
  })
})

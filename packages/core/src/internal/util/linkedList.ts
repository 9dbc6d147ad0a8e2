/** What can be in a list, and in one at a time. */
export interface Linked<A extends Linked<A>> {
  list: LinkedList<A> | undefined
  previous: A | undefined
  next: A | undefined
}

/**
 * Items in the order they came. Adding and taking out cost the same however
 * many there are.
 *
 * Not a `Set`, because of garbage. V8 gives a set whose members come and go a
 * new table now and then, and the old table refers to it. Once an old table has
 * survived a full collection, only the next one frees it: until then it keeps
 * alive the new table, its members, and the tables after it. Every other
 * connection outlived all young collections. What is taken out of this list
 * refers to nothing.
 */
export class LinkedList<A extends Linked<A>> {
  size = 0
  first: A | undefined
  private last: A | undefined

  /** Adds an item at the end. An item leaves the list that it is in. */
  add(item: A): void {
    item.list?.delete(item)
    this.link(item, this.last, undefined)
  }

  /** The same at the beginning. */
  addFirst(item: A): void {
    item.list?.delete(item)
    this.link(item, undefined, this.first)
  }

  private link(item: A, previous: A | undefined, next: A | undefined): void {
    item.list = this
    item.previous = previous
    item.next = next
    if (previous === undefined) this.first = item
    else previous.next = item
    if (next === undefined) this.last = item
    else next.previous = item
    this.size++
  }

  /** Answers whether it was in the list. */
  delete(item: A): boolean {
    if (item.list !== this) return false
    const { next, previous } = item
    item.list = item.previous = item.next = undefined
    if (previous === undefined) this.first = next
    else previous.next = next
    if (next === undefined) this.last = previous
    else next.previous = previous
    this.size--
    return true
  }

  /** Those of which it is true, first to last. */
  filter(which: (item: A) => boolean): Array<A> {
    const items: Array<A> = []
    for (let item = this.first; item !== undefined; item = item.next) if (which(item)) items.push(item)
    return items
  }

  /** A copy: what is done with one may change the list. */
  toArray(): Array<A> {
    return this.filter(() => true)
  }
}

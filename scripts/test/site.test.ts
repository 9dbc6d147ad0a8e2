/**
 * The documentation's site, built as `pnpm site` builds it: every link leads somewhere, every page is in the sidebar, and
 * in a browser it is found by searching, fits a phone, and is accessible, in the light and in the dark.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Browser from "../../examples/test/support/browser.ts"
import { run } from "../verify/run.ts"
import { hasAnchor, linksOf, pagesOf, serve } from "./support/site.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const repository = "https://github.com/effect-listener/effect-listener"

const site = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-listener-site-"))
afterAll(() => Fs.rmSync(site, { recursive: true, force: true }))

let built = ""
let pages: ReadonlyMap<string, string>

beforeAll(async () => {
  const { failure, output } = await run({
    name: "site",
    commands: [["vitepress", "build", "docs", "--outDir", site]],
    env: { SITE_BASE: "/" },
    timeout: 600_000
  }, root)
  if (failure !== undefined) throw new Error(`${failure}\n${output}`)
  built = output
  pages = pagesOf(site)
}, 600_000)

/** `link` as seen from the page at `from`. */
const resolve = (link: string, from: string) => {
  const url = new URL(link, `http://site${from}`)
  return {
    internal: url.host === "site",
    path: decodeURIComponent(url.pathname),
    anchor: decodeURIComponent(url.hash).slice(1)
  }
}

describe("the site", () => {
  it("is built without a warning", () => {
    assert.notMatch(built, /warning|not loaded|dead link/i)
  })

  it("has a page for each guide, error, module and decision", () => {
    const sources = Fs.globSync("docs/**/*.md", { cwd: root, exclude: ["**/node_modules"] })
      .map((file) => file.slice("docs".length).replace(/(?:README|index)\.md$/, "").replace(/\.md$/, ""))
    assert.deepStrictEqual([...pages.keys()].filter((path) => path !== "/404").sort(), sources.sort())
  })

  it("has every page in the sidebar", () => {
    const sidebar = new Set(linksOf(pages.get("/getting-started") ?? "").map((link) => resolve(link, "/").path))
    assert.deepStrictEqual([...pages.keys()].filter((path) => path !== "/404" && !sidebar.has(path)), [])
  })

  it("has no link that leads nowhere, and no anchor that is not there", () => {
    const broken: Array<string> = []
    for (const [page, html] of pages) {
      for (const link of linksOf(html)) {
        const { anchor, internal, path } = resolve(link, page)
        if (!internal) continue
        const target = pages.get(path) ?? pages.get(path.replace(/\.html$/, ""))
        const missing = target === undefined
          ? !Fs.existsSync(Path.join(site, path))
          : anchor !== "" && !hasAnchor(target, anchor)
        if (missing) broken.push(`${page}: ${link}`)
      }
    }
    assert.deepStrictEqual(broken, [])
  })

  it("links to files of the repository that there are", () => {
    const files = new Set(
      [...pages.values()].flatMap(linksOf)
        .filter((link) => link.startsWith(`${repository}/blob/main/`))
        .map((link) => link.slice(`${repository}/blob/main/`.length).split("#")[0]!)
    )
    assert.isAbove(files.size, 5)
    assert.deepStrictEqual([...files].filter((file) => !Fs.existsSync(Path.join(root, file))), [])
  })
})

describe("the site in a browser", { tags: ["chromium"] }, () => {
  it.live("is searched", () =>
    Effect.gen(function*() {
      const page = yield* Browser.open(yield* serve(site))
      yield* page.look({ width: 1200, height: 900 })
      yield* page.until(`document.querySelector("#local-search button") !== null`)
      // the button works once the page's script has run
      yield* page.until(`(document.querySelector("#localsearch-input") !== null ||
        document.querySelector("#local-search button").click(), document.querySelector("#localsearch-input") !== null)`)
      yield* page.evaluate(`(() => {
        const input = document.querySelector("#localsearch-input")
        input.value = "lame duck"
        input.dispatchEvent(new Event("input", { bubbles: true }))
      })()`)
      yield* page.until(`[...document.querySelectorAll(".VPLocalSearchBox .result")].length > 3`)
      const first = yield* page.evaluate(`document.querySelector(".VPLocalSearchBox .result").getAttribute("href")`)
      assert.isTrue(pages.has(resolve(String(first), "/").path), String(first))
      assert.deepStrictEqual(page.problems(), [])
    }))

  it.live.each(["/", "/getting-started", "/recipes", "/comparison", "/errors/AddressInUse", "/api/Listener"])(
    "fits a phone and is accessible, in the light and in the dark: %s",
    (path) =>
      Effect.gen(function*() {
        const page = yield* Browser.open(`${yield* serve(site)}${path}`)
        for (const dark of [false, true]) {
          yield* page.look({ width: 390, height: 800, dark })
          yield* page.until(`document.documentElement.classList.contains("dark") === ${dark}`)
          yield* page.until("document.documentElement.scrollWidth <= 390")
          // colours change gradually
          yield* page.until("document.getAnimations().length === 0")
          assert.deepStrictEqual(yield* page.inaccessible, [])
        }
        assert.deepStrictEqual(page.problems(), [])
      })
  )

  it.live("shows on its first screen what others lose, and a server", () =>
    Effect.gen(function*() {
      const page = yield* Browser.open(yield* serve(site))
      yield* page.look({ width: 1280, height: 900 })
      yield* page.until(`(() => {
        const bottom = (selector) => document.querySelector(selector)?.getBoundingClientRect().bottom
        return bottom(".VPHome table") <= 900 && bottom(".VPHome pre") <= 900
      })()`)
    }))
})

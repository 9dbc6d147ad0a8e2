import * as Fs from "node:fs"
import * as Path from "node:path"
import { type DefaultTheme, defineConfig } from "vitepress"

const docs = Path.resolve(import.meta.dirname, "..")
const repository = "https://github.com/effect-listener/effect-listener"

/** The title of a page: its first heading. */
const title = (page: string): string =>
  /^# (.+)$/m.exec(Fs.readFileSync(Path.join(docs, page), "utf8"))?.[1]?.replaceAll("`", "") ?? page

/** The pages of these names that are there, in this order. */
const pages = (...names: ReadonlyArray<string>): Array<DefaultTheme.SidebarItem> =>
  names.map((name) => ({ text: title(`${name}.md`), link: `/${name}` }))

const folder = (name: string): Array<DefaultTheme.SidebarItem> =>
  Fs.readdirSync(Path.join(docs, name))
    .filter((file) => file.endsWith(".md") && file !== "README.md")
    .sort()
    .map((file) => ({ text: title(`${name}/${file}`), link: `/${name}/${file.slice(0, -".md".length)}` }))

const sidebar: Array<DefaultTheme.SidebarItem> = [
  {
    text: "Begin",
    items: pages(
      "architecture",
      "from-node-http-server",
      "migrating-from-pm2",
      "migrating-from-node-cluster",
      "protocols",
      "rpc",
      "testing"
    )
  },
  {
    text: "Run",
    items: pages("operating", "kubernetes", "behind-a-proxy", "cluster", "troubleshooting", "errors")
  },
  { text: "Errors", collapsed: true, items: folder("errors") },
  { text: "Extend", items: pages("transports") },
  { text: "API", collapsed: true, items: [{ text: "All modules", link: "/api/" }, ...folder("api")] },
  { text: "Decisions", collapsed: true, items: folder("decisions") }
]

export default defineConfig({
  title: "effect-listener",
  description: "A server's listener as a resource with a typed, observable lifetime",
  lang: "en",
  base: process.env["SITE_BASE"] ?? "/effect-listener/",
  cleanUrls: true,
  rewrites: { "api/README.md": "api/index.md", "decisions/README.md": "decisions/index.md" },
  markdown: {
    config: (markdown) => {
      // what lies outside of this folder is in the repository, not on the site
      markdown.core.ruler.push("repositoryLinks", (state) => {
        for (const token of state.tokens.flatMap(({ children }) => children ?? [])) {
          const link = token.type === "link_open" ? token.attrGet("href") : null
          if (link === null || /^(?:[a-z]+:|#|\/)/.test(link)) continue
          const page = Path.dirname((state.env as { readonly path?: string }).path ?? docs)
          const [file = "", anchor] = link.split("#")
          const target = Path.relative(docs, Path.resolve(page, file))
          if (!target.startsWith("..")) continue
          const path = Path.relative(Path.resolve(docs, ".."), Path.resolve(page, file))
          token.attrSet("href", `${repository}/blob/main/${path}${anchor === undefined ? "" : `#${anchor}`}`)
        }
      })
    }
  },
  themeConfig: {
    search: { provider: "local" },
    nav: [
      { text: "Guide", link: "/architecture" },
      { text: "API", link: "/api/" },
      { text: "Errors", link: "/errors" }
    ],
    sidebar,
    outline: [2, 3],
    socialLinks: [{ icon: "github", link: repository }],
    editLink: { pattern: `${repository}/edit/main/docs/:path` },
    footer: { message: "MIT" }
  }
})

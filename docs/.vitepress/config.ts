import * as Fs from "node:fs"
import * as Path from "node:path"
import { type DefaultTheme, defineConfig } from "vitepress"

const docs = Path.resolve(import.meta.dirname, "..")
const base = process.env["SITE_BASE"] ?? "/effect-listener/"
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

const guides: Array<DefaultTheme.SidebarItem> = [
  {
    text: "Begin",
    items: pages("getting-started", "from-node-http-server", "recipes", "architecture", "faq", "glossary")
  },
  { text: "Build", items: pages("protocols", "rpc", "datagrams", "testing", "transports") },
  {
    text: "Run",
    items: pages(
      "operating",
      "continuity",
      "docker",
      "kubernetes",
      "scale",
      "behind-a-proxy",
      "cluster",
      "troubleshooting",
      "runtimes"
    )
  },
  {
    text: "Choose",
    items: pages("comparison", "migrating-from-pm2", "migrating-from-node-cluster", "versioning")
  }
]

const listed = new Set(guides.flatMap(({ items = [] }) => items.map(({ link }) => link)))
/** Guides that have no place yet. */
const others = Fs.readdirSync(docs)
  .filter((file) => file.endsWith(".md"))
  .map((file) => file.slice(0, -".md".length))
  .filter((name) => !["index", "errors"].includes(name) && !listed.has(`/${name}`))

const sidebar: Array<DefaultTheme.SidebarItem> = [
  ...guides,
  ...others.length === 0 ? [] : [{ text: "More", items: pages(...others) }],
  // with a link of its own, or the group would be a button with a button in it
  { text: "Errors", link: "/errors", collapsed: true, items: folder("errors") },
  { text: "API", link: "/api/", collapsed: true, items: folder("api") },
  { text: "Decisions", link: "/decisions/", collapsed: true, items: folder("decisions") }
]

export default defineConfig({
  title: "effect-listener",
  description: "A server's listener as a resource with a typed, observable lifetime",
  lang: "en",
  base,
  head: [["link", { rel: "icon", type: "image/svg+xml", href: `${base}favicon.svg` }]],
  cleanUrls: true,
  // the search index of all pages is one file, loaded at the first search
  vite: { build: { chunkSizeWarningLimit: 5000 } },
  rewrites: { "api/README.md": "api/index.md", "decisions/README.md": "decisions/index.md" },
  markdown: {
    languageAlias: { haproxy: "nginx" },
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
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
      { text: "Guide", link: "/getting-started" },
      { text: "Recipes", link: "/recipes" },
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

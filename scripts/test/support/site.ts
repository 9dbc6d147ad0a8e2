/**
 * The built site: its pages, what they link to, and a server for it that knows addresses without `.html`.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"

/** The address of each page below the site's root, with its HTML. */
export const pagesOf = (site: string): ReadonlyMap<string, string> =>
  new Map(
    Fs.globSync("**/*.html", { cwd: site }).sort().map((file) => [
      `/${file.replace(/(^|\/)index\.html$/, "$1").replace(/\.html$/, "")}`,
      Fs.readFileSync(Path.join(site, file), "utf8")
    ])
  )

const entities: Record<string, string> = { "&amp;": "&", "&quot;": "\"", "&#39;": "'" }

/** What a page links to, each once. */
export const linksOf = (html: string): ReadonlyArray<string> => [
  ...new Set(
    [...html.matchAll(/<a\b[^>]*?\shref="([^"]*)"/g)].map(([, link = ""]) =>
      link.replace(/&(?:amp|quot|#39);/g, (entity) => entities[entity]!)
    )
  )
]

/** Whether a page has an element of this id. */
export const hasAnchor = (html: string, id: string): boolean => html.includes(` id="${id}"`)

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2"
}

/** Serves the site, and answers its address. */
export const serve = (site: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Http.Server>((resume) => {
        const server = Http.createServer((request, response) => {
          const { pathname } = new URL(request.url ?? "/", "http://x")
          const path = Path.join(site, decodeURIComponent(pathname))
          const file = [path, `${path}.html`, Path.join(path, "index.html")].find((file) =>
            Fs.statSync(file, { throwIfNoEntry: false })?.isFile()
          )
          if (file === undefined) {
            response.writeHead(404).end()
          } else {
            response.setHeader("content-type", types[Path.extname(file)] ?? "application/octet-stream")
            response.end(Fs.readFileSync(file))
          }
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    ),
    // it listens on a port
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  )

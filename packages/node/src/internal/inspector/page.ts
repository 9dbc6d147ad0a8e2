/**
 * The page of an inspector: one document that loads nothing and listens to
 * `events` beside it. Labels can hold what clients sent, so that everything is
 * set as text, and the page may run nothing but its own script.
 */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { createHash } from "node:crypto"
import { script } from "./pageScript.ts"
import { style } from "./pageStyle.ts"

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

const document = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>listeners</title>
<style>${style}</style>
<main></main>
<footer>
<form id="search" role="search" hidden><label for="filter">filter</label><input id="filter" type="search" autocomplete="off" placeholder="client, phase, work"></form>
<p class="quiet" id="link" role="status" data-state="opening">connecting</p>
</footer>
<svg hidden></svg>
<script>${script}</script>
</html>
`

const policy = [
  "default-src 'none'",
  "connect-src 'self'",
  `style-src ${hash(style)}`,
  `script-src ${hash(script)}`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'"
]

export const response: HttpServerResponse.HttpServerResponse = HttpServerResponse.html(document).pipe(
  HttpServerResponse.setHeader("content-security-policy", policy.join("; "))
)

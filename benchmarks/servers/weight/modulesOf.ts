/** Starts a program, and prints how many modules of JavaScript that loads: `node modulesOf.ts <program>`. */
import { registerHooks } from "node:module"
import { pathToFileURL } from "node:url"

let modules = 0
registerHooks({
  load: (url, context, next) => {
    if (url.startsWith("file:")) modules++
    return next(url, context)
  }
})
await import(pathToFileURL(process.argv[2]!).href)
console.log(modules)
process.exit(0)

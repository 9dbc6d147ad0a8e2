import { httpServerSuite } from "./support/httpServerSuite.ts"

httpServerSuite("https")

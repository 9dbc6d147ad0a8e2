import { httpServerSuite } from "./httpServerSuite.ts"

httpServerSuite("https")

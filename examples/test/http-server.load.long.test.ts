import { restartSuite } from "./restartRounds.ts"

restartSuite({ http: 8, https: 4, pausing: 8 })

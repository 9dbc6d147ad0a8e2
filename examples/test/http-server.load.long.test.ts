import { restartSuite } from "./support/restartRounds.ts"

restartSuite({ http: 8, https: 4, pausing: 8 })

import { restartSuite } from "./support/restartRounds.ts"

restartSuite({ http: 2, https: 2, pausing: 4 })

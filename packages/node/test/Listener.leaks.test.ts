import { livesLeaveNothing } from "./support/lives.ts"

livesLeaveNothing(200)

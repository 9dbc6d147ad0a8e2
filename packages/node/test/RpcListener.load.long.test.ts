import { restartedInTurn } from "./support/rpcLoad.ts"

// the same with Effect's own server: node packages/node/test/programs/rpcRestarts.ts
restartedInTurn(20)

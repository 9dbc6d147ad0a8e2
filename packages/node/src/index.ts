export * as NodeMain from "./NodeMain.ts"
export * as NodeTcp from "./NodeTcp.ts"
export * as NodeTls from "./NodeTls.ts"
export * as NodeUnix from "./NodeUnix.ts"

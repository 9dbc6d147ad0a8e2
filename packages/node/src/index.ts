export * as NodeMain from "./NodeMain.ts"

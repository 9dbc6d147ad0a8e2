export * as Interleavings from "./Interleavings.ts"
export * as MemoryTransport from "./MemoryTransport.ts"

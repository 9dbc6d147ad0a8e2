export * as Faults from "./Faults.ts"
export * as Interleavings from "./Interleavings.ts"
export * as MemoryDatagrams from "./MemoryDatagrams.ts"
export * as MemoryTransport from "./MemoryTransport.ts"

import Cluster from "node:cluster"

/**
 * Calls back when this process, a worker of `node:cluster`, was told to
 * disconnect and its servers have closed: bare Node's worker ends then, because
 * nothing keeps it alive. The result takes it back.
 */
export const onClusterDisconnect = (handle: () => void): () => void => {
  if (!process.connected || !Cluster.isWorker) return () => {}
  process.on("disconnect", handle)
  return () => process.off("disconnect", handle)
}

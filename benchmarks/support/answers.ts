/** How a program that makes load ends. */

/** How long the first answer may take of a machine that does other things as well, in milliseconds. */
const patience = 10_000

/**
 * Prints, after so many milliseconds, how much was answered since now, and ends
 * the process; where nothing was yet, after the first answer.
 */
export const report = (millis: number, counts: () => { readonly answered: number; readonly failed: number }): void => {
  const start = performance.now()
  const look = (): void => {
    const { answered, failed } = counts()
    const took = performance.now() - start
    if (answered + failed === 0 && took < millis + patience) return void setTimeout(look, 10)
    console.log(JSON.stringify({ operations: answered, perSecond: answered / took * 1000, failed }))
    process.exit(0)
  }
  setTimeout(look, millis)
}

/** The look of the page: light and dark, and on a phone only the columns that say what is waited for. */
export const style = `
:root { color-scheme: light dark; --quiet: color-mix(in srgb, currentColor 68%, transparent);
  --line: color-mix(in srgb, currentColor 18%, transparent); --good: light-dark(#1a7f37, #4ac26b);
  --bad: light-dark(#cf222e, #ff7b72); --busy: light-dark(#8a5d00, #d4a72c) }
* { box-sizing: border-box }
html { background: Canvas; color: CanvasText }
body { font: 14px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 76rem; padding: 0 1rem }
h1 { font-size: 1.3rem; margin: 0 } h2, h3 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere }
header, .head { display: flex; flex-wrap: wrap; gap: .3rem .8rem; align-items: baseline }
section { margin-top: 1.6rem }
.tag { border: 1px solid; border-radius: 1rem; padding: 0 .6rem; font-size: .85rem }
.good { color: var(--good) } .bad { color: var(--bad) } .busy { color: var(--busy) } .quiet { color: var(--quiet) }
.drain { border-left: 4px solid var(--busy); padding: .3rem .8rem; margin: .6rem 0 }
.worker { border-left: 3px solid var(--line); padding-left: 1rem } .worker section { margin-top: .8rem }
.over .drain { border-color: var(--line) }
.over table, .over .drain, .over .groups { font-style: italic }
progress { width: 100%; height: .7rem; accent-color: var(--busy) }
.picture { display: block; width: 100%; height: 4rem; color: var(--busy) }
.picture polyline { fill: none; stroke: currentColor; stroke-width: 2; vector-effect: non-scaling-stroke }
.picture line { stroke: var(--line); vector-effect: non-scaling-stroke }
.groups { display: flex; flex-wrap: wrap; gap: 0 2.5rem; margin-top: .5rem }
.groups div { flex: 1 1 16rem; min-width: 0 }
.groups ul { list-style: none; margin: 0; padding: 0 }
.groups li { display: flex; gap: .6rem; justify-content: space-between; overflow-wrap: anywhere }
.groups h4, th { font-weight: 500; color: var(--quiet); font-size: .85rem; margin: 0 }
table { border-collapse: collapse; width: 100%; margin-top: .5rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td { overflow-wrap: anywhere } .number { text-align: right; white-space: nowrap } .phase { overflow-wrap: normal; white-space: nowrap }
button, input { font: inherit; color: inherit; background: transparent; border: 1px solid var(--quiet); border-radius: .4rem;
  padding: .25rem .6rem }
button { margin-top: .5rem; cursor: pointer }
#search:not([hidden]) { display: flex; gap: .6rem; align-items: baseline; flex: 1 1 12rem }
#search input { flex: 0 1 20rem; min-width: 0 }
footer { position: sticky; bottom: 0; background: Canvas; padding: .5rem 0; margin-top: 1rem;
  display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: baseline; border-top: 1px solid var(--line) }
footer p { margin: 0 }
@media (max-width: 44rem) {
  body { margin: .8rem auto } th, td { padding-right: .5rem }
  .minor { display: none }
}
`

"""How a report looks: on a screen, on a phone, on paper."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root { --ink: #1b1b1b; --quiet: #555555; --line: #d4d4d4; --wash: #f5f6f7; --accent: #00558a; --warn: #fdf3ec;
  --paper: #ffffff; }
* { box-sizing: border-box; }
html { scroll-padding-top: 3.2rem; }
body { margin: 0; font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: var(--ink);
  background: var(--paper); overflow-wrap: break-word; }
main { max-width: 86rem; margin: 0 auto; padding: .8rem 1.2rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: .3rem 0 .5rem; }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 2.4rem 0 .6rem; padding-top: .7rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
p, li { max-width: 46rem; margin: .5rem 0; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: .6rem; top: .3rem; background: var(--paper); padding: .4rem .8rem; z-index: 3; }
nav { position: sticky; top: 0; background: var(--paper); border-bottom: 1px solid var(--line); z-index: 2; }
nav ul { max-width: 86rem; margin: 0 auto; padding: .4rem 1.2rem; list-style: none; display: flex; flex-wrap: wrap;
  gap: .1rem 1.1rem; font-size: .88rem; }
nav li { margin: 0; padding: .15rem 0; }
a { color: var(--accent); }
a.n { color: inherit; text-decoration: underline dotted; text-underline-offset: .18em; }
a.n:hover { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
:target { background: var(--warn); }
.label { border-left: 4px solid #a34700; background: var(--warn); padding: .5rem .9rem; margin: .8rem 0; max-width: 46rem; }
.failure { border-left: 4px solid var(--ink); background: var(--wash); padding: .5rem .9rem; margin: 1rem 0;
  white-space: pre-wrap; }
.quiet, figcaption, td small { color: var(--quiet); font-size: .86rem; }
.stacked tbody th { min-width: 6.5rem; }
.verdict { font-size: 1.12rem; line-height: 1.4; font-weight: 600; margin: .7rem 0; }
dl.who { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; margin: .4rem 0; max-width: 60rem;
  font-size: .93rem; }
dl.who dt { font-weight: 600; }
dl.who dd { margin: 0; min-width: 0; }
figure { margin: .8rem 0; }
figure img { max-width: 100%; height: auto; display: block; }
figure .wide { margin: 0; }
figcaption { margin-top: .3rem; max-width: 46rem; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .86rem; line-height: 1.35; }
caption { text-align: left; font-size: .88rem; padding-bottom: .3rem; color: var(--quiet); }
th { text-align: left; border-bottom: 2px solid var(--line); padding: .3rem .8rem .3rem 0; vertical-align: bottom; }
tbody th { border-bottom: 1px solid var(--line); vertical-align: top; font-weight: 600; }
td { border-bottom: 1px solid var(--line); padding: .28rem .8rem .28rem 0; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td small, th small { display: block; font-weight: 400; color: var(--quiet); font-size: .8rem; }
pre { background: var(--wash); border: 1px solid var(--line); padding: .8rem 1rem; overflow-x: auto; font-size: .8rem;
  line-height: 1.4; }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--accent); padding: .15rem 0; }
details > :not(summary) { margin-left: .9rem; }
@media screen and (min-width: 1100px) {
  .beside { display: grid; grid-template-columns: minmax(0, 1.12fr) minmax(0, 1fr); gap: 0 1.6rem; align-items: start; }
}
@media screen and (max-width: 640px) {
  main { padding: .6rem .9rem 3rem; }
  nav { position: static; }
  dl.who { grid-template-columns: 1fr; gap: 0; }
  dl.who dd { margin-bottom: .3rem; }
  .stacked table, .stacked tbody, .stacked tr, .stacked td, .stacked tbody th, .stacked caption { display: block; }
  .stacked { position: relative; }
  .stacked thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  /* small letters stay as large as they were drawn: the figure moves sideways in its frame */
  figure .wide img { max-width: none; width: 44rem; }
  .stacked tr { border: 1px solid var(--line); border-radius: 4px; margin: .6rem 0; padding: .3rem .6rem; }
  .stacked td, .stacked tbody th { border: 0; padding: .15rem 0; text-align: left; white-space: normal; }
  .stacked td[data-name]::before { content: attr(data-name) ": "; color: var(--quiet); }
}
@page { size: A4; margin: 12mm 13mm; }
@media print {
  nav, .skip, .screen, details:not([open]) { display: none; }
  body { font-size: 9.5pt; line-height: 1.38; }
  main { max-width: none; padding: 0; }
  h1 { font-size: 15pt; margin-top: 0; }
  h2 { font-size: 13pt; margin-top: 0; border-top: 0; padding-top: 0; }
  p, li, figcaption, .label, dl.who { max-width: none; }
  p, li { margin: .35rem 0; }
  section { break-before: page; }
  section.first { break-before: auto; }
  h2, h3, caption, summary { break-after: avoid; }
  figure, tr, .label, li, p { break-inside: avoid; }
  .stacked table, .stacked { break-inside: avoid; }
  thead { display: table-header-group; }
  .wide { overflow: visible; }
  table { width: 100%; font-size: 7.8pt; }
  th, td, td.n { padding: .16rem .5rem .16rem 0; white-space: normal; overflow-wrap: anywhere; }
  .stacked th, .stacked td { overflow-wrap: break-word; }
  td small, th small { font-size: 7.2pt; }
  figcaption, .quiet, caption { font-size: 8pt; }
  figure { margin: .4rem 0; }
  figure img { max-height: 105mm; width: auto; margin: 0 auto; }
  /* one sheet: the figure takes what the words leave */
  .first .beside, .first .picture, .first figure { display: flex; flex-direction: column; }
  .first .beside { height: 271mm; }
  .first .picture, .first figure, .first figure .wide { flex: 1 1 auto; margin: 0; }
  /* out of the flow, where no letter can be pushed onto the next sheet */
  .first figure .wide { position: relative; min-height: 45mm; }
  .first figure img { position: absolute; inset: 0; width: 100%; height: 100%; max-height: none; object-fit: contain; }
  .first table { table-layout: fixed; font-size: 7.2pt; line-height: 1.25; }
  .first thead th:first-child { width: 21%; }
  .first td small, .first th small { font-size: 6.8pt; }
  .first dl.who { font-size: 8.4pt; margin: .2rem 0; }
  .first .stacked tbody th { min-width: 6.5rem; }
.verdict { font-size: 11pt; margin: .4rem 0; }
  .first .label { font-size: 8.6pt; padding: .25rem .6rem; margin: .3rem 0; }
  pre { white-space: pre-wrap; font-size: 7pt; }
  a, a.n { color: inherit; text-decoration: none; }
}
"""
"""The style sheet; text on its grounds keeps a contrast of 4.5 to 1 or more, as WCAG 2.2 AA asks."""

// The table of vNodes.

import { el } from "./dom";
import { ago, count, percent } from "./format";
import type { VNode } from "./types";

/** Rows that are shown. */
const maxRows = 60;

/** done is how much of its trace a vNode has replayed: a number and a bar. */
function done(v: VNode): Node[] {
  if (v.steps_total === 0) return [document.createTextNode("–")];
  const share = Math.min(v.steps / v.steps_total, 1);
  const text = percent(Math.floor(share * 1000) / 1000); // 100 % is all of it
  return [document.createTextNode(`${text} `), el("progress", { value: share.toFixed(4), max: 1, "aria-label": `${v.name}, done` })];
}

export function vnodes(box: HTMLElement, list: VNode[], total: number, hue: (pid: number) => string): void {
  if (list.length === 0) {
    box.replaceChildren(el("p", { class: "note" }, total === 0 ? "No vNode is placed. Start one with splitkernel run --on or splitkernel vnode." : `${total} vNodes, which are not told now.`));
    return;
  }
  const heads: [string, boolean][] = [["vNode", false], ["state", false], ["on", false], ["home", false], ["done", true], ["left", true], ["replayed", true], ["per second", true], ["hit ratio", true], ["block requests", true], ["vRegions", true], ["volumes", true]];
  const rows = list.slice(0, maxRows).map((v) => {
    const lost = v.lost && v.lost.length > 0 ? `lost: ${v.lost.join(", ")}` : "";
    const trouble = [v.error ?? "", lost].filter(Boolean).join("; ");
    const n = (text: string) => el("td", { class: "n" }, text);
    return el(
      "tr",
      {},
      el("td", {}, el("i", { class: hue(v.pid) }), `${v.name} `, el("span", { class: "note" }, String(v.pid))),
      el("td", { class: trouble !== "" ? "gone" : "", title: trouble }, trouble !== "" && v.state !== "done" ? `${v.state ?? v.phase}: ${trouble}` : (v.state ?? v.phase)),
      el("td", {}, v.on),
      el("td", {}, v.home ?? "–"),
      el("td", { class: "n" }, ...done(v)),
      n(v.left_seconds === null ? "–" : ago(v.left_seconds)),
      n(count(v.references)),
      n(v.state === "running" ? count(v.references_per_second) : "–"),
      n(v.references > 0 ? percent(v.hits / v.references) : "–"),
      n(count(v.block_requests)),
      n(String(v.vregions)),
      n(String(v.volumes)),
    );
  });
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads.map(([h, right]) => el("th", { class: right ? "n" : "", scope: "col" }, h)))), el("tbody", {}, ...rows));
  box.replaceChildren(el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "vNodes" }, table));
  if (total > rows.length) box.append(el("p", { class: "note" }, `${rows.length} of ${total} vNodes are shown.`));
}

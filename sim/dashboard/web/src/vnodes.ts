// The table of vNodes.

import { el } from "./dom";
import { count, percent } from "./format";
import type { VNode } from "./types";

/** Rows that are shown. */
const maxRows = 60;

export function vnodes(box: HTMLElement, list: VNode[], total: number, hue: (pid: number) => string): void {
  if (list.length === 0) {
    box.replaceChildren(el("p", { class: "note" }, total === 0 ? "No vNode is placed. Start one with splitkernel run --on or splitkernel vnode." : `${total} vNodes, which are not told now.`));
    return;
  }
  const heads: [string, boolean][] = [["vNode", false], ["state", false], ["on", false], ["home", false], ["replayed", true], ["per second", true], ["hit ratio", true], ["block requests", true], ["vRegions", true], ["volumes", true]];
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

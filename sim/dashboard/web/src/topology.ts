// The components and their links, drawn: one row for each kind, a box for each component, a curve for each link.

import { set, svg } from "./dom";
import { bytes, plural } from "./format";
import { Component, Kind, kindNames, kinds, Link } from "./view";

const gap = 12;
/** How far apart boxes of a short row stand. */
const widestGap = 72;
const boxHeight = 58;
const rowGap = 64;
const labelHeight = 20;
/** Rows of boxes that a kind may take; what does not fit is one box that stands for the rest. */
const maxRows = 2;
/** Curves that are drawn, those that bear most first. */
const maxLinks = 150;

/** id of the box that stands for the rest of a kind. */
export const restOf = (kind: Kind) => `\u0000${kind}`;

interface Place {
  x: number;
  y: number;
  width: number;
}

const rank = { dead: 0, warn: 1, up: 2 };

/** chosen are the components of a kind that are drawn, in the order of their list, and how many are not. Trouble comes first, then load. */
export function chosen(all: Component[], room: number): { drawn: Component[]; rest: Component[] } {
  if (all.length <= room) return { drawn: all, rest: [] };
  const best = new Set([...all].sort((a, b) => rank[a.health] - rank[b.health] || b.busy - a.busy).slice(0, room - 1));
  return { drawn: all.filter((c) => best.has(c)), rest: all.filter((c) => !best.has(c)) };
}

export class Topology {
  private readonly root = svg("svg", { role: "group", "aria-label": "Components and links" });
  private readonly links = svg("g", { class: "links", "aria-hidden": true });
  private readonly labels = svg("g", { class: "labels", "aria-hidden": true });
  private readonly boxes = svg("g", {});
  private readonly nodes = new Map<string, SVGGElement>();
  private readonly curves = new Map<string, SVGPathElement>();
  private components: Component[] = [];
  private edges: Link[] = [];
  private selected = "";
  /** Components that stand in a box for the rest, by its id. */
  readonly rest = new Map<string, Component[]>();

  constructor(
    private readonly box: HTMLElement,
    private readonly hue: (pid: number) => string,
    private readonly onSelect: (id: string) => void,
  ) {
    this.root.append(this.links, this.labels, this.boxes);
    box.append(this.root);
    new ResizeObserver(() => this.draw()).observe(box);
    this.root.addEventListener("keydown", (e) => this.key(e));
    this.root.addEventListener("click", (e) => this.pick(e.target));
  }

  show(components: Component[], links: Link[], selected: string): void {
    this.components = components;
    this.edges = links;
    this.selected = selected;
    this.draw();
  }

  private pick(target: EventTarget | null): void {
    const id = (target as Element | null)?.closest<SVGGElement>("g.node")?.dataset["id"];
    if (id !== undefined) this.onSelect(id);
  }

  private key(e: KeyboardEvent): void {
    if (e.key === "Enter" || e.key === " ") {
      e.preventDefault();
      this.pick(e.target);
      return;
    }
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
    const all = [...this.boxes.children] as SVGGElement[];
    const at = all.indexOf((e.target as Element).closest("g.node") as SVGGElement);
    if (step === undefined || at < 0) return;
    e.preventDefault();
    all[(at + step + all.length) % all.length]?.focus();
  }

  private draw(): void {
    const width = Math.floor(this.box.clientWidth);
    if (width === 0 || this.components.length === 0) return;
    const perRow = Math.max(3, Math.floor((width + gap) / (128 + gap)));
    const boxWidth = Math.min(160, Math.floor((width - gap * (perRow - 1)) / perRow));
    const places = new Map<string, Place>();
    const order: { id: string; paint: (g: SVGGElement, p: Place) => void }[] = [];
    const labels: SVGTextElement[] = [];
    this.rest.clear();
    let y = 0;
    for (const kind of kinds) {
      const all = this.components.filter((c) => c.kind === kind);
      if (all.length === 0) continue;
      const { drawn, rest } = chosen(all, perRow * maxRows);
      const ids = drawn.map((c) => c.id);
      drawn.forEach((c) => order.push({ id: c.id, paint: (g, p) => this.paint(g, p, c) }));
      if (rest.length > 0) {
        ids.push(restOf(kind));
        this.rest.set(restOf(kind), rest);
        order.push({ id: restOf(kind), paint: (g, p) => this.paintRest(g, p, rest) });
      }
      labels.push(svg("text", { x: 0, y: y + 13 }, all.length > 1 ? `${kindNames[kind]} · ${all.length}` : kindNames[kind]));
      y += labelHeight;
      for (let from = 0; from < ids.length; from += perRow) {
        const row = ids.slice(from, from + perRow);
        const free = width - row.length * boxWidth;
        const apart = row.length > 1 ? Math.min(widestGap, Math.max(gap, free / (row.length + 1))) : 0;
        const left = Math.floor((free - (row.length - 1) * apart) / 2);
        row.forEach((id, i) => places.set(id, { x: left + Math.floor(i * (boxWidth + apart)), y, width: boxWidth }));
        y += boxHeight + gap;
      }
      y += kind === "manager" ? 6 : rowGap - gap - labelHeight;
    }
    set(this.root, { width, height: y - rowGap + gap + labelHeight + 2, viewBox: `0 0 ${width} ${y - rowGap + gap + labelHeight + 2}` });
    this.labels.replaceChildren(...labels);
    this.drawBoxes(order, places);
    this.drawLinks(places);
  }

  private drawBoxes(order: { id: string; paint: (g: SVGGElement, p: Place) => void }[], places: Map<string, Place>): void {
    for (const [id, g] of this.nodes) {
      if (!places.has(id)) {
        g.remove();
        this.nodes.delete(id);
      }
    }
    order.forEach(({ id, paint }, i) => {
      let g = this.nodes.get(id);
      if (!g) {
        g = svg("g", { class: "node", tabindex: 0, role: "button", "data-id": id });
        this.nodes.set(id, g);
      }
      if (this.boxes.children[i] !== g) this.boxes.insertBefore(g, this.boxes.children[i] ?? null); // only then, or the focus is lost
      const p = places.get(id)!;
      set(g, { transform: `translate(${p.x} ${p.y})` });
      paint(g, p);
    });
  }

  private paint(g: SVGGElement, p: Place, c: Component): void {
    const w = p.width;
    const narrow = w < 110;
    const bars = c.bars.slice(0, 2);
    set(g, {
      class: `node ${c.health}${c.id === this.selected ? " selected" : ""}`,
      "aria-pressed": c.id === this.selected ? "true" : "false",
      "aria-label": [`${c.id}, ${kindNames[c.kind]}, ${c.state}`, c.why, ...c.badges.map((b) => `leads ${b}`), ...c.bars.map((b) => `${b.label} ${b.text}`)].filter(Boolean).join(". "),
    });
    const parts: SVGElement[] = [
      svg("rect", { class: "body", width: w, height: boxHeight, rx: 8 }),
      svg("circle", { class: "lamp", cx: 12, cy: 15, r: 4.5 }),
      svg("text", { class: "id", x: 22, y: 19 }, short(c.id, narrow ? 9 : 14)),
    ];
    const badges = c.badges.map((b) => b.toUpperCase()).join(" ");
    if (c.health !== "up") parts.push(svg("text", { class: "state", x: w - 8, y: 19, "text-anchor": "end" }, c.state));
    else if (badges === "") c.owns.slice(0, 4).forEach((pid, i) => parts.push(svg("circle", { class: `pip ${this.hue(pid)}`, cx: w - 12 - i * 11, cy: 15, r: 4 })));
    if (badges !== "") parts.push(svg("text", { class: narrow ? "badge small" : "badge", x: 10, y: 42 }, narrow ? (c.badges.length > 2 ? "★ all three" : badges) : `★ ${badges}`));
    else if (c.kind === "manager") parts.push(svg("text", { class: "dim", x: 10, y: 42 }, c.health === "dead" ? "" : "follows"));
    bars.forEach((b, i) => {
      const top = 29 + i * 13;
      const label = narrow ? 0 : 46;
      const length = w - 20 - label;
      if (label > 0) parts.push(svg("text", { class: "dim small", x: 10, y: top + 7 }, b.label));
      parts.push(
        svg("rect", { class: "track", x: 10 + label, y: top, width: length, height: 7, rx: 3.5 }),
        svg("rect", { class: b.ratio > 0.9 ? "fill hot" : "fill", x: 10 + label, y: top, width: Math.max(0, Math.min(1, b.ratio)) * length, height: 7, rx: 3.5 }),
      );
    });
    parts.push(svg("title", {}, [c.id, c.state, c.why, ...c.bars.map((b) => `${b.label}: ${b.text}`)].filter(Boolean).join("\n")));
    g.replaceChildren(...parts);
  }

  private paintRest(g: SVGGElement, p: Place, rest: Component[]): void {
    const id = g.dataset["id"]!;
    const dead = rest.filter((c) => c.health === "dead").length;
    const said = dead > 0 ? `${dead} of them lost` : "all fine or quieter";
    set(g, {
      class: `node rest ${dead > 0 ? "dead" : "up"}${id === this.selected ? " selected" : ""}`,
      "aria-pressed": id === this.selected ? "true" : "false",
      "aria-label": `${plural(rest.length, "more component")}, ${said}`,
    });
    g.replaceChildren(
      svg("rect", { class: "body", width: p.width, height: boxHeight, rx: 8 }),
      svg("text", { class: "id", x: p.width / 2, y: 26, "text-anchor": "middle" }, `+ ${rest.length} more`),
      svg("text", { class: "dim small", x: p.width / 2, y: 43, "text-anchor": "middle" }, said),
    );
  }

  private drawLinks(places: Map<string, Place>): void {
    const drawn = this.edges
      .filter((l) => places.has(l.from) && places.has(l.to))
      .sort((a, b) => b.bytes - a.bytes)
      .slice(0, maxLinks);
    const most = Math.max(1, ...drawn.map((l) => l.bytes));
    const keep = new Set<string>();
    for (const l of drawn) {
      const key = `${l.from}\u0000${l.to}`;
      keep.add(key);
      let path = this.curves.get(key);
      if (!path) {
        path = svg("path", {});
        this.curves.set(key, path);
        this.links.append(path);
      }
      const a = places.get(l.from)!;
      const b = places.get(l.to)!;
      const [x1, y1, x2, y2] = [a.x + a.width / 2, a.y + boxHeight, b.x + b.width / 2, b.y];
      const bend = Math.max(18, (y2 - y1) / 2);
      const side = b.y <= a.y; // of one kind: the curve hangs below both
      const mine = l.from === this.selected || l.to === this.selected;
      const one = l.pids.length === 1 ? l.pids[0] : undefined;
      set(path, {
        d: side
          ? `M${x1} ${y1}C${x1} ${y1 + 20} ${x2} ${b.y + boxHeight + 20} ${x2} ${b.y + boxHeight}`
          : `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`,
        class: `${l.bytes > 0 ? "live" : "idle"}${mine ? " mine" : ""}${one !== undefined ? ` ${this.hue(one)}` : ""}`,
        "stroke-width": l.bytes > 0 ? (1.5 + 4.5 * Math.sqrt(l.bytes / most)).toFixed(1) : 1,
      });
      path.replaceChildren(svg("title", {}, `${l.from} – ${l.to}: ${bytes(l.bytes)}/s`));
    }
    for (const [key, path] of this.curves) {
      if (!keep.has(key)) {
        path.remove();
        this.curves.delete(key);
      }
    }
  }
}

function short(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

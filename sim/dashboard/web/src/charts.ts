// Charts over time. All share one time axis, one cursor and the marks of what happened.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { el, say } from "./dom";
import { clock } from "./format";
import { Ring } from "./ring";

export interface Line<S> {
  label: string;
  /** of may give null where nothing is known, as the latency of an interval without a fault. */
  of: (sample: S) => number | null;
}

export interface ChartSpec<S> {
  title: string;
  format: (value: number) => string;
  lines: Line<S>[];
  log?: boolean;
  /** The axis reaches from 0 to at least this. */
  least?: number;
  /** The axis never ends above this. */
  most?: number;
  /** Steps of the axis are powers of 2. */
  binary?: boolean;
  /** The axis begins where the lines do, not at 0. */
  zoom?: boolean;
}

/** A Mark is something that happened and may explain a line. */
export interface Mark {
  ms: number;
  kind: MarkKind;
  text: string;
}

export type MarkKind = "fault" | "down" | "up" | "move" | "leader";

export const markNames: Record<MarkKind, string> = { fault: "fault on purpose", down: "component lost", up: "well again", move: "move", leader: "leader change" };

const colours = ["--c1", "--c2", "--c3", "--c4"];
const markColours: Record<MarkKind, string> = { fault: "--fault", down: "--bad", up: "--good", move: "--move", leader: "--leader" };
const height = 150;
/** How near the cursor must be to a mark to be told of it, in CSS pixels. */
const near = 7;
const powers = Array.from({ length: 50 }, (_, i) => 2 ** i);
/** decade leaves of a logarithmic axis the powers of 10. */
const decade = (v: number) => (Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-9 ? v : null);
/** Marks that are kept; the oldest are forgotten. */
const maxMarks = 200;

interface Chart<S> {
  spec: ChartSpec<S>;
  first: number; // column of its first line
  box: HTMLElement;
  values: HTMLElement[];
  plot?: uPlot;
}

export class Charts<S extends { ms: number }> {
  private readonly ring: Ring;
  private readonly charts: Chart<S>[] = [];
  private marks: Mark[] = [];
  private lastMS = 0;
  private cursor: number | null = null;

  constructor(
    private readonly root: HTMLElement,
    private readonly note: HTMLElement,
    specs: ChartSpec<S>[],
    length: number,
  ) {
    let column = 1;
    for (const spec of specs) {
      const values = spec.lines.map(() => el("b", {}, "–"));
      const box = el("div", { class: "plot", role: "img", "aria-label": spec.title });
      const legend = el(
        "figcaption",
        {},
        el("h3", {}, spec.title),
        el("p", {}, ...spec.lines.map((l, i) => el("span", { class: "key" }, el("i", { class: `k${i + 1}` }), `${l.label} `, values[i]!))),
      );
      root.append(el("figure", {}, legend, box));
      this.charts.push({ spec, first: column, box, values });
      column += spec.lines.length;
    }
    this.ring = new Ring(column, length);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
    new ResizeObserver(() => this.resize()).observe(root);
    document.addEventListener("visibilitychange", () => this.draw());
  }

  clear(): void {
    this.ring.clear();
    this.marks = [];
    this.lastMS = 0;
  }

  /** push adds a sample, unless it is none that comes after the last. */
  push(s: S): void {
    if (s.ms <= this.lastMS) return;
    this.lastMS = s.ms;
    this.ring.push([s.ms / 1000, ...this.charts.flatMap((c) => c.spec.lines.map((l) => l.of(s) ?? NaN))]);
  }

  mark(m: Mark): void {
    this.marks.push(m);
    if (this.marks.length > maxMarks) this.marks.shift();
  }

  draw(): void {
    this.root.dataset["points"] = String(this.ring.size);
    if (document.hidden || this.ring.size === 0) return;
    const x = this.ring.column(0) as number[];
    for (const c of this.charts) {
      const data = [x, ...c.spec.lines.map((_, i) => this.ring.column(c.first + i))] as uPlot.AlignedData;
      c.plot ??= this.build(c, data);
      c.plot.setData(data);
    }
    this.tell();
  }

  /** tell writes the values at the cursor, or the latest, and what is marked there. */
  private tell(): void {
    const at = this.cursor;
    for (const c of this.charts) {
      c.spec.lines.forEach((_, i) => {
        const column = c.plot?.data[i + 1] as (number | null)[] | undefined;
        const v = column?.[at ?? column.length - 1];
        say(c.values[i]!, v === null || v === undefined ? "–" : c.spec.format(v));
      });
    }
    const plot = this.charts.find((c) => c.plot)?.plot;
    const first = plot?.data[0]?.[0] ?? 0;
    if (at !== null && plot) {
      const when = (plot.data[0]?.[at] ?? 0) * 1000;
      const perPixel = ((plot.scales.x!.max! - plot.scales.x!.min!) * 1000) / Math.max(1, plot.over.clientWidth);
      const here = this.marks.filter((m) => Math.abs(m.ms - when) <= near * perPixel).slice(-2);
      say(this.note, [clock(when), ...here.map((m) => m.text)].join(" · "));
      return;
    }
    const shown = this.marks.filter((m) => m.ms / 1000 >= first);
    const kinds = (Object.keys(markNames) as MarkKind[]).filter((k) => shown.some((m) => m.kind === k));
    const keys = kinds.map((k) => el("span", { class: "key" }, el("i", { class: `m-${k}` }), markNames[k]));
    const text = kinds.join();
    if (this.note.dataset["kinds"] !== text || this.note.childElementCount !== keys.length) {
      this.note.dataset["kinds"] = text;
      this.note.replaceChildren(...(keys.length > 0 ? keys : ["Faults, lost components, moves and leader changes will be marked here."]));
    }
  }

  private build(c: Chart<S>, data: uPlot.AlignedData): uPlot {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis: uPlot.Axis = {
      stroke: colour("--dim"),
      grid: { stroke: colour("--grid"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    const spec = c.spec;
    const y: uPlot.Scale = spec.log
      ? { distr: 3, range: (_, lo, hi) => uPlot.rangeLog(lo > 0 ? lo : 1e-6, hi > 0 ? hi : 1e-3, 10, false) }
      : { range: (_, lo, hi) => [spec.zoom ? Math.max(0, (lo ?? 0) - Math.max(0.02, ((hi ?? 1) - (lo ?? 0)) * 0.2)) : 0, Math.min(spec.most ?? Infinity, Math.max(spec.least ?? 0, (hi ?? 0) * 1.1)) || 1] };
    return new uPlot(
      {
        width: this.width(c),
        height,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, sync: { key: "time" }, points: { size: 6 } },
        scales: { x: { time: true, range: (_, lo, hi) => [Math.min(lo, hi - 30), hi] }, y },
        axes: [
          { ...axis, size: 26, space: 70, values: (_, at) => at.map((s) => clock(s * 1000)) },
          { ...axis, grid: { ...axis.grid, ...(spec.log ? { filter: (_: uPlot, at: number[]) => at.map(decade) } : {}) }, size: 64, space: 32, ...(spec.binary ? { incrs: powers } : {}), values: (_, at) => at.map((v) => (v === null ? "" : spec.format(v))) },
        ],
        series: [
          {},
          ...spec.lines.map((l, i) => ({ label: l.label, stroke: colour(colours[i]!), width: 1.75, points: { show: false }, spanGaps: false })),
        ],
        hooks: {
          draw: [(u) => this.drawMarks(u, colour)],
          setCursor: [
            (u) => {
              const idx = u.cursor.left !== undefined && u.cursor.left >= 0 ? (u.cursor.idx ?? null) : null;
              if (idx !== this.cursor) {
                this.cursor = idx;
                this.tell();
              }
            },
          ],
        },
      },
      data,
      c.box,
    );
  }

  private drawMarks(u: uPlot, colour: (name: string) => string): void {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    for (const m of this.marks) {
      const x = Math.round(u.valToPos(m.ms / 1000, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = colour(markColours[m.kind]);
      ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const r = 4 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x - r, bbox.top - r);
      ctx.lineTo(x + r, bbox.top - r);
      ctx.lineTo(x, bbox.top + r);
      ctx.fill();
    }
    ctx.restore();
  }

  private width(c: Chart<S>): number {
    return Math.max(200, Math.floor(c.box.clientWidth));
  }

  private resize(): void {
    for (const c of this.charts) {
      if (c.plot && c.plot.width !== this.width(c)) c.plot.setSize({ width: this.width(c), height });
    }
  }

  private rebuild(): void {
    for (const c of this.charts) {
      c.plot?.destroy();
      c.plot = undefined;
    }
    this.draw();
  }
}

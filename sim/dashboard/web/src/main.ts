// The page of a running cluster: what the server streams, drawn.

import "./style.css";
import { alertsOf, componentsOf, linksOf, owned } from "./adapt";
import { Charts, ChartSpec, MarkKind } from "./charts";
import { Control, token } from "./control";
import { details, noDetails, restDetails } from "./details";
import { byId, el, say } from "./dom";
import { bytes, count, micros, percent } from "./format";
import { Log } from "./log";
import { follow } from "./stream";
import { Topology } from "./topology";
import type { Event, Hello, Sample, Snapshot } from "./types";
import type { Component } from "./view";
import { vnodes } from "./vnodes";

/** Points of a chart: a quarter of an hour. The server sends no more when a page opens. */
const maxPoints = 900;
const hues = 8;

type Point = Sample & { ms: number };

const perSecond = (v: number) => `${count(v)}/s`;
const specs: ChartSpec<Point>[] = [
  { title: "ExCache hit ratio", format: (v) => percent(v), most: 1, zoom: true, lines: [{ label: "hits", of: (s) => s.hit_ratio }] },
  {
    title: "Page faults and block requests",
    format: perSecond,
    least: 10,
    lines: [
      { label: "faults", of: (s) => s.faults_per_second },
      { label: "blocks", of: (s) => s.block_requests_per_second },
    ],
  },
  {
    title: "Fault latency",
    format: micros,
    log: true,
    lines: [
      { label: "p50", of: (s) => s.fault_p50_seconds },
      { label: "p99", of: (s) => s.fault_p99_seconds },
    ],
  },
  { title: "Bytes on links", format: (v) => `${bytes(v)}/s`, binary: true, least: 1024, lines: [{ label: "sent", of: (s) => s.link_bytes_per_second }] },
  {
    title: "Processors",
    format: (v) => count(v),
    least: 1,
    lines: [
      { label: "busy", of: (s) => s.busy_cores },
      { label: "offered", of: (s) => s.processors },
    ],
  },
  {
    title: "Memory used",
    format: bytes,
    binary: true,
    least: 1 << 20,
    lines: [
      { label: "memory", of: (s) => s.memory_used_bytes },
      { label: "ExCache", of: (s) => s.excache_used_bytes },
    ],
  },
  { title: "Storage used", format: bytes, binary: true, least: 1 << 20, lines: [{ label: "volumes", of: (s) => s.storage_used_bytes }] },
  { title: "Queues", format: (v) => count(v), least: 4, lines: [{ label: "requests waiting", of: (s) => s.queue }] },
  {
    title: "Leader changes and moves",
    format: (v) => count(v),
    least: 4,
    lines: [
      { label: "leader changes", of: (s) => s.leader_changes },
      { label: "moves under way", of: (s) => s.moving },
    ],
  },
];

const hue = (pid: number) => `h${pid % hues}`;
const point = (s: Sample): Point => ({ ...s, ms: Date.parse(s.time) });

class Page {
  private selected = "";
  private last?: Snapshot;
  private readonly details = byId("details");
  private readonly charts = new Charts<Point>(byId("charts"), byId("marks"), specs, maxPoints);
  private readonly log = new Log(byId("events"));
  private readonly control = new Control(byId("control"), token());
  private readonly topology = new Topology(byId("topology"), hue, (id) => this.select(id));
  private seq = 0;

  hello(h: Hello): void {
    this.charts.clear();
    this.log.clear();
    this.seq = 0;
    this.control.allow(h.control);
    for (const s of h.samples) this.charts.push(point(s));
    this.show(h.snapshot);
  }

  show(s: Snapshot): void {
    this.last = s;
    this.charts.push(point(s.totals));
    this.happened(s.events);
    this.charts.draw();
    this.draw();
  }

  private happened(list: Event[]): void {
    const fresh = list.filter((e) => e.seq > this.seq);
    this.seq = fresh.at(-1)?.seq ?? this.seq;
    for (const e of fresh) if (e.mark) this.charts.mark({ ms: Date.parse(e.time), kind: e.mark, text: e.text });
    this.log.add(fresh.map((e) => ({ ms: Date.parse(e.time), who: e.source, kind: e.mark ?? ("" as MarkKind | ""), text: e.text })));
  }

  private select(id: string): void {
    this.selected = id === this.selected ? "" : id;
    this.draw();
  }

  private draw(): void {
    const s = this.last;
    if (!s || document.hidden) return;
    const owns = owned(s);
    const components = componentsOf(s, owns);
    say(byId("cluster"), s.cluster);
    say(byId("what"), s.owner === "run" ? "splitkernel: a run, which takes this page along when it ends" : "splitkernel");
    document.title = `${s.cluster} · splitkernel`;
    this.topology.show(components, linksOf(s, owns), this.selected);
    this.drawDetails(components);
    vnodes(byId("vnodes"), s.vnodes, s.vnodes_total, hue);
    this.drawAlerts(s);
    this.drawTiles(s);
    say(
      byId("topology-note"),
      this.topology.rest.size > 0
        ? "What is lost, ill or busiest is drawn; the boxes with a + stand for the rest. Coloured dots are vNodes."
        : "Lines are what goes between components now, as wide as it is much; coloured dots are the vNodes that run or have something there.",
    );
  }

  private drawDetails(components: Component[]): void {
    const rest = this.topology.rest.get(this.selected);
    const one = components.find((c) => c.id === this.selected);
    if (rest) restDetails(this.details, rest, (id) => this.select(id));
    else if (one) details(this.details, one);
    else noDetails(this.details);
    this.control.show(one);
  }

  private drawAlerts(s: Snapshot): void {
    const box = byId("alerts");
    const list = alertsOf(s);
    const shown = list.map((a) => a.subject + a.text).join("\n");
    if (box.dataset["shown"] === shown) return;
    box.dataset["shown"] = shown;
    box.replaceChildren(...list.map((a) => el("p", { class: a.severe ? "alert" : "alert warn" }, el("b", {}, `${a.subject}. `), a.text)));
  }

  private drawTiles(s: Snapshot): void {
    const t = s.totals;
    const known = (v: number | null, f: (v: number) => string) => (v === null ? "–" : f(v));
    const ill = t.nodes - t.nodes_well;
    const tiles: [string, string, string, boolean][] = [
      ["components", `${t.nodes_well} of ${t.nodes}`, ill === 0 ? "all are well" : `${ill} not well`, ill > 0],
      ["hit ratio", known(t.hit_ratio, (v) => percent(v, 2)), `${count(t.accesses_per_second)} accesses/s`, false],
      ["page faults", perSecond(t.faults_per_second), `${perSecond(t.block_requests_per_second)} blocks`, false],
      ["fault p50", known(t.fault_p50_seconds, micros), `p99 ${known(t.fault_p99_seconds, micros)}`, false],
      ["on links", `${bytes(t.link_bytes_per_second)}/s`, "sent by all", false],
      ["processors", t.busy_cores.toFixed(2), `busy of ${count(t.processors)}`, false],
      ["memory", bytes(t.memory_used_bytes), `of ${bytes(t.memory_capacity_bytes)}`, false],
      ["vNodes", count(t.vnodes), t.moving > 0 ? `${t.moving} moves under way` : "nothing moves", false],
    ];
    byId("tiles").replaceChildren(...tiles.map(([name, value, more, bad]) => el("div", { class: bad ? "tile bad" : "tile" }, el("span", {}, name), el("b", {}, value), el("small", {}, more))));
  }

  /** again draws what was left out while nobody looked. */
  again(): void {
    if (!document.hidden) this.draw();
  }
}

const page = new Page();
const pill = byId("link");
document.addEventListener("visibilitychange", () => page.again());
follow("events", {
  hello: (data) => page.hello(JSON.parse(data) as Hello),
  tick: (data) => page.show(JSON.parse(data) as Snapshot),
  state: (state, tries) => {
    pill.className = `pill ${state}`;
    say(pill, state === "live" ? "live" : tries < 3 ? "reconnecting" : "no answer: is the cluster still up? trying on");
  },
});

// From what the server tells to what is drawn. Plain functions.

import { ago, bytes, clock, count, micros, percent, plural } from "./format";
import type { Node, Own, Snapshot, State } from "./types";
import type { Bar, Component, Health, Link } from "./view";

const healths: Record<State, Health> = { up: "up", draining: "warn", starting: "warn", cut_off: "warn", paused: "warn", silent: "dead", dead: "dead" };
const words: Partial<Record<State, string>> = { cut_off: "cut off" };

export function healthOf(n: Node): Health {
  return healths[n.state] ?? "warn";
}

export function wordOf(n: Node): string {
  return words[n.state] ?? n.state;
}

function sentence(text: string): string {
  return text === "" ? "" : `${text[0]!.toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** whyOf explains a component that is not up. */
export function whyOf(n: Node, now: number): string {
  if (healthOf(n) === "up") return sentence(n.why ?? "");
  const since = Date.parse(n.since);
  return `${sentence(n.why ?? `it is ${wordOf(n)}`)} For ${ago((now - since) / 1000)}, since ${clock(since)}.`;
}

/** owned groups who has what by component. */
export function owned(s: Snapshot): Map<string, Own[]> {
  const by = new Map<string, Own[]>();
  for (const o of s.owns) {
    const list = by.get(o.node);
    if (list) list.push(o);
    else by.set(o.node, [o]);
  }
  return by;
}

function ratio(used: number, of: number): number {
  return of > 0 ? used / of : 0;
}

function barsOf(n: Node): Bar[] {
  const l = n.load;
  if (!l || n.role === "manager") return [];
  const what = { pcomponent: "ExCache", mcomponent: "memory", scomponent: "disk" }[n.role];
  return [
    { label: "cores", ratio: ratio(l.busy_cores, l.processors), text: `${l.busy_cores.toFixed(2)} of ${l.processors}` },
    { label: what, ratio: ratio(l.used_bytes, l.capacity_bytes), text: `${bytes(l.used_bytes)} of ${bytes(l.capacity_bytes)}` },
  ];
}

/** Names that a list of vNodes spells out. */
const maxNamed = 12;

function factsOf(n: Node, owns: Own[], nameOf: (pid: number) => string): [string, string][] {
  const facts: [string, string][] = [];
  const l = n.load;
  if (l) {
    if (n.role === "manager") facts.push(["cores", l.busy_cores.toFixed(2)], ["memory", bytes(l.used_bytes)]);
    if (n.role === "mcomponent" || n.role === "scomponent") facts.push(["promised", bytes(l.reserved_bytes)]);
    facts.push(["gets", `${bytes(l.in_bytes_per_second)}/s`], ["sends", `${bytes(l.out_bytes_per_second)}/s`]);
    const ops = { manager: "commands, queries", pcomponent: "accesses", mcomponent: "pages, blocks", scomponent: "block requests" }[n.role];
    facts.push([ops, `${count(l.ops_per_second)}/s`]);
    if (n.role === "pcomponent") {
      facts.push(["faults", `${count(l.faults_per_second)}/s`]);
      if (l.hit_ratio !== null) facts.push(["hit ratio", percent(l.hit_ratio, 2)]);
      if (l.fault_p50_seconds !== null && l.fault_p99_seconds !== null) facts.push(["fault p50, p99", `${micros(l.fault_p50_seconds)}, ${micros(l.fault_p99_seconds)}`]);
    }
    facts.push(["waiting", `${plural(l.queue, "request")}, ${micros(l.queue_delay_seconds)}`]);
  }
  const having = (name: string, of: (o: Own) => number) => {
    const list = owns.filter((o) => of(o) > 0);
    if (list.length === 0) return;
    const named = list.slice(0, maxNamed).map((o) => (of(o) > 1 ? `${nameOf(o.pid)} ×${of(o)}` : nameOf(o.pid)));
    facts.push([name, named.join(", ") + (list.length > maxNamed ? ` and ${list.length - maxNamed} more` : "")]);
  };
  having("runs", (o) => (o.process ? 1 : 0));
  having("home of", (o) => (o.home ? 1 : 0));
  having("vRegions of", (o) => o.vregions ?? 0);
  having("copies of", (o) => o.copies ?? 0);
  having("buffer cache of", (o) => o.buffer_caches ?? 0);
  having("volumes of", (o) => o.volumes ?? 0);
  facts.push(["address", n.addr], ["process", String(n.pid)]);
  if (n.rack) facts.push(["rack", n.rack]);
  if (n.epoch > 0) facts.push(["epoch", String(n.epoch)]);
  return facts;
}

export function componentsOf(s: Snapshot, owns: Map<string, Own[]>): Component[] {
  const names = new Map(s.vnodes.map((v) => [v.pid, v.name]));
  const nameOf = (pid: number) => names.get(pid) ?? `vNode ${pid}`;
  const now = Date.parse(s.time);
  return s.nodes.map((n) => {
    const mine = owns.get(n.id) ?? [];
    return {
      id: n.id,
      kind: n.role,
      health: healthOf(n),
      state: wordOf(n),
      why: whyOf(n, now),
      bars: barsOf(n),
      badges: n.leads ?? [],
      owns: mine.map((o) => o.pid),
      busy: (n.load?.in_bytes_per_second ?? 0) + (n.load?.out_bytes_per_second ?? 0),
      facts: factsOf(n, mine, nameOf),
    };
  });
}

const rows = { pcomponent: 0, mcomponent: 1, scomponent: 2 };

/** linksOf gives what goes between components, both directions as one, and links that are there for somebody and idle. Managers are on no data path. */
export function linksOf(s: Snapshot, owns: Map<string, Own[]>): Link[] {
  const row = new Map<string, number>();
  for (const n of s.nodes) if (n.role !== "manager") row.set(n.id, rows[n.role]);
  const links = new Map<string, Link>();
  const link = (a: string, b: string): Link | undefined => {
    const [ra, rb] = [row.get(a), row.get(b)];
    if (ra === undefined || rb === undefined || a === b) return undefined;
    const [from, to] = ra < rb || (ra === rb && a < b) ? [a, b] : [b, a];
    const key = `${from}\u0000${to}`;
    let l = links.get(key);
    if (!l) {
      const there = new Set((owns.get(to) ?? []).map((o) => o.pid));
      l = { from, to, bytes: 0, pids: (owns.get(from) ?? []).map((o) => o.pid).filter((pid) => there.has(pid)) };
      links.set(key, l);
    }
    return l;
  };
  for (const l of s.links) {
    const to = link(l.from, l.to);
    if (to) to.bytes += l.bytes_per_second;
  }
  const runsOn = new Map(s.owns.filter((o) => o.process).map((o) => [o.pid, o.node]));
  for (const o of s.owns) {
    const from = runsOn.get(o.pid);
    if (from !== undefined && (o.home || (o.vregions ?? 0) > 0)) link(from, o.node);
  }
  return [...links.values()];
}

export interface Alert {
  severe: boolean;
  subject: string;
  text: string;
}

/** Alerts of components that are spelled out. */
const maxAlerts = 4;

/** alertsOf says what is wrong, the worst first. */
export function alertsOf(s: Snapshot): Alert[] {
  const now = Date.parse(s.time);
  const ill = s.nodes.filter((n) => n.state !== "up" && n.state !== "draining");
  ill.sort((a, b) => Number(healthOf(b) === "dead") - Number(healthOf(a) === "dead"));
  const alerts: Alert[] = ill.slice(0, maxAlerts).map((n) => ({ severe: healthOf(n) === "dead", subject: `${n.id} is ${wordOf(n)}`, text: whyOf(n, now) }));
  if (ill.length > maxAlerts) {
    const dead = ill.filter((n) => healthOf(n) === "dead").length;
    alerts.push({ severe: dead > 0, subject: `${ill.length} components are not well`, text: `${dead} of them do not answer or have ended. The first ${maxAlerts} are explained above.` });
  }
  for (const l of s.leaders) {
    if (l.node === "") alerts.push({ severe: true, subject: `${l.manager.toUpperCase()} has no leader`, text: "Nothing new can be placed by it until one is elected; what runs goes on." });
  }
  const faults = s.faults.filter((f) => f.ended === undefined && f.kind !== "kill");
  for (const f of faults.slice(0, maxAlerts)) {
    const since = Date.parse(f.began);
    alerts.push({ severe: false, subject: `On purpose: ${f.fault}`, text: `${sentence(f.what)} Since ${clock(since)}.` });
  }
  const told = (w: string) => ill.some((n) => w.includes(` ${n.id} `)) || s.leaders.some((l) => l.node === "" && w.startsWith(l.manager));
  const warnings = s.warnings.filter((w) => !told(w));
  if (warnings.length > 0) alerts.push({ severe: false, subject: "The managers warn", text: sentence(warnings.slice(0, maxAlerts).join("; ") + (warnings.length > maxAlerts ? `; and ${warnings.length - maxAlerts} more` : "")) });
  return alerts;
}

// What the page draws, made from what the server tells (see adapt.ts).

export const kinds = ["manager", "pcomponent", "mcomponent", "scomponent"] as const;
export type Kind = (typeof kinds)[number];

export const kindNames: Record<Kind, string> = { manager: "Managers", pcomponent: "Compute", mcomponent: "Memory", scomponent: "Storage" };

/** up does what it should; warn is on its way somewhere, or is asked for and does not answer; dead is gone. */
export type Health = "up" | "warn" | "dead";

export interface Bar {
  label: string;
  ratio: number; // 0 to 1, or above when more is used than there is
  text: string;
}

export interface Component {
  id: string;
  kind: Kind;
  health: Health;
  state: string; // one word: up, draining, silent, paused, dead, ended
  why: string; // a sentence if health is not up
  bars: Bar[];
  badges: string[]; // which managers it leads
  owns: number[]; // vNodes that it runs or of which it holds something
  busy: number; // what it sends and gets, bytes/s
  facts: [name: string, value: string][];
}

export interface Link {
  from: string;
  to: string;
  pids: number[]; // for whom
  bytes: number; // per second, as far as it is known
}

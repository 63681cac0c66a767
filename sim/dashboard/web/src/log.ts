// The event log: newest first, and no more than it can hold.

import { el } from "./dom";
import { clock } from "./format";
import type { MarkKind } from "./charts";

const maxLines = 300;

export interface Entry {
  ms: number;
  who: string;
  kind: MarkKind | "";
  text: string;
}

export class Log {
  private readonly list = el("ol", { tabindex: 0, "aria-label": "Events, newest first" });

  constructor(private readonly box: HTMLElement) {
    this.clear();
  }

  clear(): void {
    this.list.replaceChildren();
    this.box.replaceChildren(el("p", { class: "note" }, "Nothing has happened yet."));
  }

  add(entries: Entry[]): void {
    if (entries.length === 0) return;
    if (!this.list.isConnected) this.box.replaceChildren(this.list);
    for (const e of entries.slice(-maxLines)) {
      this.list.prepend(
        el(
          "li",
          { class: e.kind },
          el("time", { datetime: new Date(e.ms).toISOString() }, clock(e.ms)),
          el("span", { class: "who" }, e.who),
          el("span", { class: "text" }, e.text),
        ),
      );
    }
    while (this.list.childElementCount > maxLines) this.list.lastElementChild!.remove();
  }
}

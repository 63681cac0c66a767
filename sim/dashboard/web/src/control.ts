// What the command line does, as buttons. Without --allow-control the server has nothing behind them, and they say so.

import { el, say } from "./dom";
import type { Component } from "./view";

const tokenHeader = "X-Splitkernel-Token";
const tokenKey = "splitkernel-token";

/** token takes the token out of the address, where it would stay in the history, and keeps it for this tab. */
export function token(): string {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) {
    sessionStorage.setItem(tokenKey, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(tokenKey) ?? "";
}

export class Control {
  private readonly fields = el("fieldset", { disabled: true });
  private readonly why = el("p", { class: "note" });
  private readonly said = el("p", { id: "said", role: "status" });
  private readonly one: HTMLButtonElement[];
  private selected = "";
  private busy = false;
  private allowed = false;

  constructor(
    box: HTMLElement,
    private readonly secret: string,
  ) {
    const role = el("select", { "aria-label": "kind of the new component" });
    for (const [value, text] of [["mcomponent", "memory"], ["pcomponent", "compute"], ["scomponent", "storage"]] as const) role.append(el("option", { value }, text));
    const fault = el("input", { type: "text", placeholder: "pause m1 for 1s", "aria-label": "fault, as in: partition p1 | m1 for 3s", maxlength: 500 });
    const loss = el("input", { type: "checkbox", id: "loss" });
    const act = (name: string, what: string, body: () => object, danger = false) => {
      const b = el("button", { type: "button", class: danger ? "danger" : "" }, name);
      b.addEventListener("click", () => void this.ask(what, body()));
      return b;
    };
    const here = () => ({ node: this.selected });
    this.one = [
      act("Drain", "drain", here),
      act("Undrain", "undrain", here),
      act("Kill", "kill", () => ({ node: this.selected, allow_loss: loss.checked }), true),
    ];
    fault.addEventListener("keydown", (e) => {
      if (e.key === "Enter") void this.ask("fault", { fault: fault.value, allow_loss: loss.checked });
    });
    this.fields.append(
      el("legend", {}, "Control"),
      el("div", { class: "row" }, ...this.one),
      el("div", { class: "row" }, fault, act("Fault", "fault", () => ({ fault: fault.value, allow_loss: loss.checked }), true), act("Heal all", "heal", () => ({}))),
      el("div", { class: "row" }, role, act("Add", "add", () => ({ role: role.value }))),
      el("label", { class: "note", for: "loss" }, loss, " let kills and faults cost what the cluster promises to keep"),
    );
    box.append(this.fields, this.why, this.said);
    this.show(undefined);
  }

  /** allow tells whether the server has control. */
  allow(on: boolean): void {
    this.allowed = on;
    this.show(undefined);
  }

  show(c: Component | undefined): void {
    this.selected = c?.id ?? "";
    this.fields.disabled = !this.allowed || this.secret === "" || this.busy;
    for (const b of this.one) b.disabled = c === undefined;
    if (c?.kind === "manager") this.one[0]!.disabled = this.one[1]!.disabled = true;
    if (!this.allowed) {
      if (!this.why.querySelector(".flag")) {
        this.why.replaceChildren("Off: this page only looks. Start with ", el("span", { class: "flag" }, "--dashboard --allow-control"), " to add, drain, kill and disturb from here.");
      }
      return;
    }
    say(
      this.why,
      this.secret === ""
          ? "Off: this tab has no token. Open the address that was printed at the start; its end, #token=…, is the key."
          : c === undefined
            ? "Choose a component to drain or kill it."
            : "",
    );
  }

  private async ask(what: string, body: object): Promise<void> {
    if (this.busy || this.fields.disabled) return;
    this.busy = this.fields.disabled = true;
    say(this.said, `${what} …`);
    this.said.classList.remove("bad");
    try {
      const r = await fetch(`control/${what}`, { method: "POST", headers: { "Content-Type": "application/json", [tokenHeader]: this.secret }, body: JSON.stringify(body) });
      const answer = (await r.json()) as { said?: string; error?: string };
      say(this.said, answer.said ?? answer.error ?? `HTTP status ${r.status}`);
      this.said.classList.toggle("bad", !r.ok);
    } catch (e) {
      say(this.said, `no answer: ${e instanceof Error ? e.message : String(e)}`);
      this.said.classList.add("bad");
    } finally {
      this.busy = this.fields.disabled = false;
    }
  }
}

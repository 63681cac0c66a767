// The panel of the component that was chosen.

import { el } from "./dom";
import { Component, kindNames } from "./view";

/** Components of the rest that are listed; the others are only counted. */
const maxListed = 200;

export function details(box: HTMLElement, c: Component): void {
  const parts: Node[] = [el("h3", {}, c.id, el("span", { class: `word ${c.health}` }, c.state))];
  if (c.why !== "") parts.push(el("p", { class: `why ${c.health}` }, c.why));
  const facts: [string, string][] = [["kind", kindNames[c.kind]], ...c.bars.map((b): [string, string] => [b.label, b.text]), ...c.facts];
  parts.push(el("dl", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
  box.replaceChildren(...parts);
}

/** restDetails lists the components that share one box; choosing one shows it. */
export function restDetails(box: HTMLElement, rest: Component[], choose: (id: string) => void): void {
  const listed = rest.slice(0, maxListed);
  const key = listed.map((c) => c.id + c.state).join();
  if (box.dataset["rest"] === key && box.querySelector(".list")) return; // or the focus in the list is lost every second
  box.dataset["rest"] = key;
  const list = el("div", { class: "list" });
  for (const c of listed) {
    const button = el("button", { type: "button", class: c.health === "dead" ? "danger" : "" }, `${c.id} · ${c.state}`);
    button.addEventListener("click", () => choose(c.id));
    list.append(button);
  }
  const more = rest.length > listed.length ? `, of which ${listed.length} are listed` : "";
  box.replaceChildren(el("p", { class: "note" }, `${rest.length} components that are not drawn${more}`), list);
}

export function noDetails(box: HTMLElement): void {
  if (box.dataset["none"] && box.childElementCount === 1 && box.querySelector("p.note")) return;
  box.dataset["none"] = "1";
  box.replaceChildren(el("p", { class: "note" }, "Choose a component: click it, or Tab to it and press Enter; arrow keys go from one to the next."));
}

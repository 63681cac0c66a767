// Elements, made so that no text is ever read as markup: children that are strings become text nodes.

type Attrs = Record<string, string | number | boolean | undefined>;

function put(e: Element, attrs: Attrs, children: (Node | string)[]): void {
  for (const [name, value] of Object.entries(attrs)) {
    if (value !== undefined && value !== false) e.setAttribute(name, value === true ? "" : String(value));
  }
  e.append(...children);
}

export function el<K extends keyof HTMLElementTagNameMap>(tag: K, attrs: Attrs = {}, ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  put(e, attrs, children);
  return e;
}

export function svg<K extends keyof SVGElementTagNameMap>(tag: K, attrs: Attrs = {}, ...children: (Node | string)[]): SVGElementTagNameMap[K] {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  put(e, attrs, children);
  return e;
}

/** set gives an element attributes, and takes those away that are undefined or false. What has not changed is not touched. */
export function set(e: Element, attrs: Attrs): void {
  for (const [name, value] of Object.entries(attrs)) {
    const text = value === undefined || value === false ? null : value === true ? "" : String(value);
    if (text === e.getAttribute(name)) continue;
    if (text === null) e.removeAttribute(name);
    else e.setAttribute(name, text);
  }
}

export function say(e: Element, text: string): void {
  if (e.textContent !== text) e.textContent = text;
}

export function byId(id: string): HTMLElement {
  const e = document.getElementById(id);
  if (!e) throw new Error(`the page has no #${id}`);
  return e;
}

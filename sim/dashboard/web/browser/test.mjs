// Drives the page in a real browser: node test.mjs LOOK CONTROL FAKE, the addresses of three pages. LOOK has no control, CONTROL has, of the same
// live cluster with a run; FAKE shows 1000 components with hostile names. It ends with code 1 and a sentence if anything is not as it should be.
// SHOTS=FOLDER keeps pictures.
import assert from "node:assert/strict";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

const [look, control, fake] = process.argv.slice(2);
const shots = process.env.SHOTS;
const patience = 60_000;
/** How soon a killed component must be red, in ms; a machine with more to do than this many times its processors is not judged. */
const soon = 3000;
const busy = 2;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
const complaints = [];

/** open opens a page in a browser of its own, and notes what it complains of and whom it asks. */
async function open(name, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.on("console", (m) => m.type() === "error" && complaints.push(`${name}: console: ${m.text()}`));
  page.on("pageerror", (e) => complaints.push(`${name}: ${e.message}`));
  page.on("dialog", (d) => (complaints.push(`${name}: dialog ${d.message()}`), d.dismiss()));
  page.on("request", (r) => {
    const to = new URL(r.url());
    if (to.hostname !== "127.0.0.1" && to.protocol !== "data:") complaints.push(`${name}: a request left this machine: ${r.url()}`);
  });
  await page.goto(url, { waitUntil: "domcontentloaded" });
  await until(page, `${name}: is live`, () => document.querySelector("#link.live") && document.querySelector("g.node"));
  return page;
}

/** until waits for something in a page, which it asks at its own pace: a machine with much to do draws no frames to wait for. */
async function until(page, what, holds, arg) {
  for (const end = Date.now() + patience; !(await page.evaluate(holds, arg)); await new Promise((wake) => setTimeout(wake, 50))) {
    if (Date.now() > end) throw new Error(`${what}: not within ${patience} ms; the page says ${await page.textContent("#link")}`);
  }
}

/** choose clicks a component. */
const choose = (page, selector) => page.dispatchEvent(selector, "click");
const ok = (what) => console.log(`ok ${what}`);
const picture = async (page, name, fullPage = false) => shots && page.screenshot({ path: path.join(shots, name), fullPage });
/** wide is by how much the page is wider than its window. */
const wide = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
try {
  const a = await open("look", look);
  const b = await open("control", control);
  await until(a, "four points", () => Number(document.getElementById("charts").dataset.points) >= 4);
  await until(a, "page faults per second", () => /^[1-9]/.test(document.querySelectorAll(".tile b")[2].textContent));
  await until(a, "vNodes and links", () => document.querySelector("#vnodes tbody tr") && document.querySelector(".links path.live"));
  await until(a, "how much of the traces is done, and the time left", () =>
    [...document.querySelectorAll("#vnodes tbody tr")].some((r) => {
      const bar = r.querySelector("progress");
      return bar && bar.value > 0 && bar.value < 1 && /\d %/.test(bar.parentElement.textContent) && /\d (s|min|h)/.test(bar.parentElement.nextElementSibling.textContent);
    }),
  );
  const drawn = await a.evaluate(() =>
    [...document.querySelectorAll(".plot canvas")].map((k) => {
      const d = k.getContext("2d").getImageData(0, 0, k.width, k.height).data;
      let n = 0;
      for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200 && Math.max(d[i], d[i + 1], d[i + 2]) - Math.min(d[i], d[i + 1], d[i + 2]) > 80) n++; // coloured: no axis, no grid
      return n;
    }),
  );
  assert.equal(drawn.length, 9);
  assert.ok(drawn.every((n) => n > 20), `coloured points of the charts: ${drawn}`);
  ok("the page opens on a live cluster, and charts, vNodes and links are drawn");

  const off = await a.evaluate(async () => ({
    buttons: [...document.querySelectorAll("#control button, #control input, #control select")].map((e) => e.matches(":disabled")),
    why: document.querySelector("#control .note:not(label)").textContent,
    status: (await fetch("control/kill", { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"node":"m2","allow_loss":true}' })).status,
  }));
  assert.ok(off.buttons.length >= 6 && off.buttons.every(Boolean), "buttons without --allow-control can be used");
  assert.match(off.why + (await a.textContent("#control")), /--allow-control/);
  assert.equal(off.status, 404);
  assert.equal(complaints.length, 1, complaints.join("\n")); // the browser tells of the 404 that was asked for
  complaints.length = 0;
  ok("without --allow-control the buttons do nothing");

  await a.focus('g.node[data-id="g1"]');
  await a.keyboard.press("ArrowRight");
  await a.keyboard.press("Enter");
  assert.equal(await a.evaluate(() => document.activeElement.dataset.id), "p1");
  await until(a, "details of p1", () => document.querySelector("#details h3")?.textContent.startsWith("p1"));
  ok("components are reached and chosen by keyboard");

  assert.equal(new URL(b.url()).hash, "", "the token stays in the address");
  await choose(b, 'g.node[data-id="m2"]');
  await b.check("#loss");
  const killed = Date.now();
  await b.click("#control button:text-is('Kill')");
  await until(a, "m2 is red", () => document.querySelector('g.node.dead[data-id="m2"]'));
  const took = Date.now() - killed;
  const load = os.loadavg()[0] / os.cpus().length;
  if (took > soon && load > busy) console.log(`NOT JUDGED: red after ${took} ms, on a machine with a load of ${load.toFixed(1)} per processor`);
  else assert.ok(took <= soon, `red ${took} ms after the button, want ${soon}`);
  const fill = await a.evaluate(() => getComputedStyle(document.querySelector('g.node[data-id="m2"] .body')).stroke);
  const [red, green, blue] = fill.match(/\d+/g).map(Number);
  assert.ok(red > 150 && green < 100 && blue < 100, `a dead component is drawn in ${fill}`);
  const alert = await a.textContent("#alerts");
  assert.match(alert, /m2 is dead/);
  assert.match(alert, /process \d+ ended: .*killed.*by the fault/i);
  await until(b, "the answer to the button", () => /was killed/.test(document.getElementById("said").textContent));
  await until(a, "the mark", () => document.querySelector("#events li.down") && document.querySelector("#marks .m-down"));
  ok(`a killed component is red after ${took} ms, explained in words, in the log and marked on the charts`);
  await choose(a, 'g.node[data-id="m2"]');
  await picture(a, "dashboard.png");
  await b.click("#control button:text-is('Heal all')");
  await until(a, "m2 is up", () => document.querySelector('g.node.up[data-id="m2"]'));
  ok("it is well again after Heal all");

  const before = await a.evaluate(() => [...document.querySelectorAll("g.node")].map((n) => n.dataset.id));
  await b.selectOption("#control select", "scomponent");
  await b.click("#control button:text-is('Add')");
  await until(b, "the answer to Add", () => /has joined/.test(document.getElementById("said").textContent));
  const added = (await b.textContent("#said")).match(/scomponent (\S+) has joined/)?.[1];
  assert.ok(added && !before.includes(added), `the page says of a component that was added: ${await b.textContent("#said")}`);
  for (const [name, page] of [["look", a], ["control", b]]) {
    await until(page, `${name}: the box of ${added}`, (id) => document.querySelector(`g.node.up[data-id="${id}"]`), added);
  }
  await choose(a, `g.node[data-id="${added}"]`);
  await until(a, `details of ${added}`, (id) => document.querySelector("#details h3")?.textContent.startsWith(id) && /storage/i.test(document.getElementById("details").textContent), added);
  ok(`${added} was added by a button, joined, and has a box and details on both pages`);

  const phone = { width: 360, height: 740 };
  await a.setViewportSize(phone);
  await a.emulateMedia({ colorScheme: "dark" });
  await until(a, "drawn for a phone", () => document.querySelector("#topology svg").clientWidth < 360);
  assert.ok((await wide(a)) <= 0, "wider than a phone");
  const ground = await a.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.ok(ground.match(/\d+/g).every((v) => Number(v) < 60), `the dark page has the ground ${ground}`);
  await until(a, "nothing that is in transition", () => document.getAnimations().length === 0);
  await a.setViewportSize({ width: phone.width, height: 1500 });
  await picture(a, "dashboard-phone.png");
  await a.setViewportSize(phone);
  ok("phone width and dark");
  await a.context().close();
  await b.context().close();

  const c = await open("fake", fake);
  const many = await c.evaluate(() => ({
    nodes: document.querySelectorAll("g.node").length,
    curves: document.querySelectorAll(".links path").length,
    rest: document.querySelectorAll("g.node.rest").length,
    foreign: document.querySelectorAll("img, iframe, main script").length,
    lines: document.querySelectorAll("#events li").length,
    points: Number(document.getElementById("charts").dataset.points),
    text: document.getElementById("vnodes").textContent + document.getElementById("alerts").textContent + document.getElementById("events").textContent,
  }));
  assert.ok(many.nodes <= 60 && many.curves <= 150 && many.rest === 3, `drawn of 1000 components: ${JSON.stringify({ ...many, text: "" })}`);
  assert.equal(many.foreign, 0, "a name was read as markup");
  assert.ok(many.text.split("<img src=x onerror=alert(1)>").length > 3, "names are not shown as they are");
  assert.ok(many.lines <= 300 && many.points <= 900, `${many.lines} lines and ${many.points} points are kept`);
  await until(c, "full logs", () => document.querySelectorAll("#events li").length === 300 && document.getElementById("charts").dataset.points === "900");
  await choose(c, "g.node.rest");
  await until(c, "a list of the rest", () => document.querySelector("#details .list button"));
  await c.setViewportSize(phone);
  await until(c, "drawn for a phone", () => document.querySelector("#topology svg").clientWidth < 360);
  assert.ok((await wide(c)) <= 0, "with hostile names wider than a phone");
  ok("1000 components with hostile names, and no more is kept than the limits");

  // The server drops a page that is eight rounds behind, which comes back by itself: on a machine with much to do that is no fault of the page.
  const crowded = os.loadavg()[0] / os.cpus().length > busy;
  const dropped = complaints.filter((c) => crowded && c.includes("ERR_INCOMPLETE_CHUNKED_ENCODING"));
  if (dropped.length > 0) console.log(`NOT JUDGED: ${dropped.length} times a page was dropped that did not read for eight rounds, on a machine with much to do`);
  assert.deepEqual(complaints.filter((c) => !dropped.includes(c)), []);
  ok("no error in the console, no request that left this machine");
} catch (e) {
  console.error(e.message ?? e);
  for (const c of complaints) console.error(c);
  process.exitCode = 1;
} finally {
  await browser.close();
}

// Looks at the status page with a headless Chromium and tells as JSON what it saw.
//
//   node look.mjs PACKAGES URL [DIRECTORY]       with a directory, the pictures for the documents are written there
//
// While the tunnel that is open carries bytes, the page must follow without being loaded again.
import { createRequire } from "node:module";
import path from "node:path";

const [packages, url, pictures] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(packages), "look.mjs"));
const { chromium } = require("playwright-core");
const axe = require("axe-core");

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const seen = { complaints: [], foreign: [], serious: [], overflow: [], updates: [], order: [], scripts: 0 };

async function open(options) {
  const page = await browser.newPage(options);
  const { complaints } = seen;
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) seen.foreign.push(request.url());
  });
  await page.goto(url);
  return page;
}

/// What the first tunnel has received, in bytes.
const received = (page) => page.evaluate(() => Number(document.querySelector("tbody tr").children[4].dataset.by));

async function follow(page) {
  await page.evaluate(() => { window.sameDocument = true; });
  const before = await received(page);
  await page.waitForFunction((before) => Number(document.querySelector("tbody tr").children[4].dataset.by) > before, before, { timeout: 15000 });
  seen.updates.push({ before, after: await received(page), same: await page.evaluate(() => window.sameDocument === true) });
}

/// What Tab comes to, one after the other, and whether that can be seen.
async function walk(page) {
  for (let steps = 0; steps < 20; steps += 1) {
    await page.keyboard.press("Tab");
    const step = await page.evaluate(() => {
      const at = document.activeElement;
      if (at === document.body) return null;
      const outline = getComputedStyle(at).outlineStyle;
      return { name: at.id || at.textContent.trim() || at.tagName, visible: outline !== "none" };
    });
    if (step === null || seen.order.some((known) => known.name === step.name)) return;
    seen.order.push(step);
  }
}

/// Sorting is by keyboard as well, and an update takes neither the order nor the focus away.
async function sort(page) {
  const button = page.locator("thead button").first();
  await button.focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  await follow(page);
  seen.sorted = await page.evaluate(() => ({
    head: document.querySelector("thead th").getAttribute("aria-sort"),
    focus: document.activeElement.textContent,
    rows: [...document.querySelectorAll("tbody tr")].map((row) => row.children[0].textContent),
  }));
  await page.fill("#filter input", "no such target");
  seen.filtered = await page.locator("tbody tr:visible").count();
  await page.fill("#filter input", "");
}

for (const width of [400, 1280]) {
  for (const colorScheme of ["light", "dark"]) {
    const page = await open({ viewport: { width, height: 900 }, colorScheme, reducedMotion: "reduce" });
    await follow(page);
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) seen.overflow.push(width);
    seen.failures = await page.textContent("#failures");
    seen.scripts += await page.locator("main script, header script, main img").count();
    if (pictures) await page.screenshot({ path: `${pictures}/status-${width}-${colorScheme}.png`, fullPage: true });
    if (width === 1280 && colorScheme === "light") {
      await walk(page);
      await sort(page);
    }
    // By the browser's own means: the page's policy lets nothing be added to it.
    const { violations } = await page.evaluate(`(() => { ${axe.source}; return axe.run(); })()`);
    seen.serious.push(...violations.filter((found) => ["serious", "critical"].includes(found.impact))
      .map((found) => `${width} ${colorScheme}: ${found.id} ${found.nodes.map((node) => node.html).join(" ")}`));
    await page.close();
  }
}

const still = await open({ javaScriptEnabled: false, viewport: { width: 360, height: 900 } });
seen.still = await still.locator("tbody tr").count();
seen.narrow = await still.evaluate(() => document.documentElement.scrollWidth <= innerWidth).catch(() => null);
await still.close();

const last = await open({ viewport: { width: 1280, height: 900 } });
// That nobody answers any more is no complaint about the page.
seen.complaints = [...seen.complaints];
console.log("end the relay");
await last.waitForSelector("#gone:not([hidden])", { timeout: 15000 });
seen.gone = await last.textContent("#gone");
await browser.close();
console.log(JSON.stringify(seen));

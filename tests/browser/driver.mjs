// Drives one Chromium for the tests: a request a line on standard input, an answer a line on
// standard output. A page keeps what went wrong on it until it is asked: errors, violations of its
// policy, and requests that left its origin, which are stopped.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(import.meta.url);
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
  "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
];
const STEP_MILLISECONDS_MAX = 60_000;
// How many pages of a sweep are open at once.
const TABS = 2;
const WIDE = { width: 1280, height: 800 };
// To compare colours takes axe-core longer than all its other rules.
const NO_COLOURS = { rules: { "color-contrast": { enabled: false } } };

const browser = await chromium.launch({ executablePath: process.argv[2], args: FLAGS, headless: true });
const pages = new Map();

const acts = {
  async open({ key, origin, options }) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const faults = [];
    page.setDefaultTimeout(STEP_MILLISECONDS_MAX);
    page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
    page.on("console", (said) => {
      if (["error", "warning"].includes(said.type())) faults.push(`console: ${said.text()}`);
    });
    await context.route("**/*", (route) => {
      const url = new URL(route.request().url());
      if (url.origin === origin || url.protocol === "data:" || url.protocol === "blob:") return route.continue();
      faults.push(`left the origin: ${url}`);
      return route.abort();
    });
    if (options.javaScriptEnabled !== false) await context.addInitScript(tellOfViolations);
    let bytes = 0;
    const network = await context.newCDPSession(page);
    await network.send("Network.enable");
    network.on("Network.loadingFinished", (event) => { bytes += event.encodedDataLength; });
    pages.set(key, { page, context, faults, loaded: () => bytes });
  },
  async call({ key, method, args }) {
    const names = method.split(".");
    let on = pages.get(key).page;
    for (const name of names.slice(0, -1)) on = on[name];
    const answer = await on[names.at(-1)](...args);
    return ["string", "number", "boolean", "object"].includes(typeof answer) && !answer?._guid ? plain(answer) : null;
  },
  async goto({ key, url }) {
    const answer = await pages.get(key).page.goto(url, { waitUntil: "load" });
    return answer.status();
  },
  async axe({ key }) {
    return axe(pages.get(key).page);
  },
  async wide({ key }) {
    return pages.get(key).page.evaluate(wide);
  },
  // Many pages, some at a time, and of each what it says and what is wrong with it. Those that are
  // to be judged are so by axe-core, the menu and colours only where it is said. Nothing is stopped
  // here that leaves the origin, because a context that stops anything keeps no file between two
  // pages; it is told.
  async sweep({ origin, options, asked }) {
    const context = await browser.newContext(options);
    await context.addInitScript(tellOfViolations);
    const told = [];
    const waiting = [...asked.entries()];
    const work = async () => {
      const page = await context.newPage();
      page.setDefaultTimeout(STEP_MILLISECONDS_MAX);
      let faults = [];
      page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
      page.on("console", (said) => {
        if (["error", "warning"].includes(said.type())) faults.push(`console: ${said.text()}`);
      });
      page.on("request", (request) => {
        const { origin: from, protocol } = new URL(request.url());
        if (from !== origin && !["data:", "blob:"].includes(protocol)) faults.push(`left the origin: ${request.url()}`);
      });
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        const [place, { path, judged }] = next;
        faults = [];
        const answer = await page.goto(origin + path, { waitUntil: "load" });
        const said = await page.evaluate(look);
        const findings = judged === null ? [] : await axe(page, ...(judged === "colours" ? [] : [NO_COLOURS, ".menu"]));
        const narrow = await page.evaluate(wide);
        // The same page the other way round, as wide as a desk.
        await page.setViewportSize(WIDE);
        await page.evaluate(() => { document.documentElement.dir = document.documentElement.dir === "rtl" ? "ltr" : "rtl"; });
        const turned = await page.evaluate(wide);
        await page.setViewportSize(options.viewport);
        told[place] = { path, status: answer.status(), ...said, wide: [...narrow, ...turned], findings, faults };
      }
    };
    await Promise.all(Array.from({ length: TABS }, work));
    await context.close();
    return told;
  },
  // A device that keeps passkeys, and whose owner always says yes (CDP, WebAuthn domain).
  async authenticator({ key }) {
    const { page, context } = pages.get(key);
    const session = await context.newCDPSession(page);
    await session.send("WebAuthn.enable");
    const options = {
      protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
      isUserVerified: true, automaticPresenceSimulation: true,
    };
    await session.send("WebAuthn.addVirtualAuthenticator", { options });
  },
  async faults({ key }) {
    return pages.get(key).faults.splice(0);
  },
  async bytes({ key }) {
    return pages.get(key).loaded();
  },
  async close({ key }) {
    await pages.get(key).context.close();
    pages.delete(key);
  },
};

async function axe(page, options = {}, ...exclude) {
  await page.evaluate(AXE);
  return page.evaluate(async ([more, exclude]) => {
    const { violations } = await window.axe.run({ exclude }, { resultTypes: ["violations"], ...more });
    return violations
      .filter((each) => ["serious", "critical"].includes(each.impact))
      .map((each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
  }, [options, exclude]);
}

// What follows runs in a page.

function tellOfViolations() {
  document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
}

// What stands beyond the sides of a page that can be scrolled to them.
function wide() {
  if (document.documentElement.scrollWidth <= innerWidth) return [];
  const found = [...document.querySelectorAll("body *")].filter((each) => {
    const { left, right } = each.getBoundingClientRect();
    return !each.closest(".hidden, .skip") && (right > innerWidth + 1 || left < -1);
  });
  return ["the page is wide", ...found.slice(0, 5).map((each) => each.outerHTML.slice(0, 120))];
}

// All that a page says, and of this what it says in its own language: not names, codes and numbers,
// which stand apart as they are.
function look() {
  const own = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const apart = node.parentElement.closest("bdi, pre, time, textarea, script, style, [lang], [translate=no]");
    if (apart === document.documentElement || apart === null) own.push(node.data);
  }
  for (const each of document.querySelectorAll("body [aria-label], body [placeholder], body [alt]")) {
    for (const name of ["aria-label", "placeholder", "alt"]) own.push(each.getAttribute(name) ?? "");
  }
  const { lang, dir } = document.documentElement;
  const said = own.map((each) => each.replace(/\s+/g, " ").trim()).filter(Boolean);
  return { lang, dir, own: [document.title, ...said], whole: document.body.innerText };
}

function plain(value) {
  try {
    return JSON.parse(JSON.stringify(value ?? null));
  } catch {
    return null;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { act, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await acts[act](given)) ?? null };
  } catch (error) {
    answer = { error: String(error.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();

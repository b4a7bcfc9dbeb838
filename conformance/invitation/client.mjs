// Whoever opens an invitation in a browser: looks at the page, fills in its form. What is wrong is said and ends it.
import { createRequire } from "node:module";

const [folder, chromium, spki, link, name, password, picture, width, height, kind] = process.argv.slice(2);
const puppeteer = createRequire(`${folder}/`)("puppeteer-core");
const fail = (what) => {
  console.log(`failed: ${what}`);
  process.exit(1);
};

const browser = await puppeteer.launch({
  executablePath: chromium,
  headless: true,
  // The server's key stands for a certificate authority that the browser would have to know.
  args: ["--no-sandbox", "--disable-dev-shm-usage", `--ignore-certificate-errors-spki-list=${spki}`],
});
const page = await browser.newPage();
const mobile = kind === "mobile";
await page.setViewport({ width: +width, height: +height, isMobile: mobile, hasTouch: mobile, deviceScaleFactor: mobile ? 2 : 1 });
if (mobile) await page.setUserAgent({ userAgent: "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 Chrome/140 Mobile" });

// Whatever the policy of the page forbids is told on the console; nothing is asked of anybody else.
const origin = new URL(link).origin;
page.on("console", (message) => message.type() === "error" && fail(message.text()));
page.on("request", (request) => {
  const asked = new URL(request.url());
  if (asked.protocol !== "data:" && asked.origin !== origin) fail(`the page asks ${asked}`);
});

const fits = async (what) => {
  const [needs, has] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  if (needs > has) fail(`${what} is ${needs} wide, the window ${has}`);
  await page.screenshot({ path: `${picture}-${what}.png`, fullPage: true });
};

await page.goto(link);
await fits("page");
const app = await page.$eval("a.go", (button) => button.href);
if (!app.startsWith("xmpp:")) fail(`the button leads to ${app}`);
await page.click("details summary");
for (const label of await page.$$eval("input:not([type=hidden])", (inputs) => inputs.map((input) => input.labels.length)))
  if (label === 0) fail("an input has no label");
await page.type("input[name=name]", name);
await page.type("input[name=password]", password);
await page.type("input[name=again]", password);
await fits("form");
const [answer] = await Promise.all([page.waitForNavigation(), page.click("form button")]);
if (answer.status() !== 201) fail(`${answer.status()}: ${await page.$eval("main", (main) => main.innerText)}`);
await fits("made");
console.log("made");
await browser.close();

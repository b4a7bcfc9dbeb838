// The page with Converse.js that the server itself has, in headless Chromium: its user types an address and a password.
import { createRequire } from "node:module";

const [folder, chromium, spki, url, account, password, picture] = process.argv.slice(2);
const puppeteer = createRequire(`${folder}/`)("puppeteer-core");
const say = (what) => console.log(what);
const { host } = new URL(url);

const browser = await puppeteer.launch({
  executablePath: chromium,
  headless: true,
  // The server's key stands for a certificate authority that the browser would have to know.
  args: [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    `--ignore-certificate-errors-spki-list=${spki}`,
  ],
});
const page = await browser.newPage();
await page.setViewport({ width: 1280, height: 800 });
page.on("request", (request) => {
  const asked = new URL(request.url());
  if (!["data:", "blob:"].includes(asked.protocol) && asked.host !== host) say(`foreign ${asked}`);
});
page.on("console", (message) => {
  if (message.text().includes("Content Security Policy")) say(`refused ${message.text()}`);
});
await page.goto(url);
const field = async (name, text) => (await page.waitForSelector(`input[name=${name}]`, { visible: true })).type(text);
await field("jid", account);
await field("password", password);
await page.keyboard.press("Enter");
await page.waitForFunction(() => document.querySelector("converse-user-profile"), { polling: 200, timeout: 45_000 });
await page.screenshot({ path: picture });
say("seen");
await browser.close();

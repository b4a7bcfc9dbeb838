// Converse.js in headless Chromium: lines of JSON on standard input say what its user does, what is seen is printed.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";
import { createInterface } from "node:readline";

const [folder, chromium, spki, origin, kind, service, account, password, picture] = process.argv.slice(2);
const puppeteer = createRequire(`${folder}/`)("puppeteer-core");
const say = (what) => console.log(what);

const browser = await puppeteer.launch({
  executablePath: chromium,
  headless: true,
  // The server's key stands for a certificate authority that the browser would have to know.
  args: [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    `--ignore-certificate-errors-spki-list=${spki}`,
    // The page comes from nowhere, the server is on this machine.
    "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets",
    `--host-resolver-rules=MAP ${new URL(origin).hostname} 127.0.0.1`,
  ],
});
const page = await browser.newPage();
await page.setViewport({ width: 1280, height: 800 });

// The page is of the site that it connects to, as where it is installed; its files come from the package.
const html = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Chat</title>
<link rel="stylesheet" href="/converse/converse.min.css"><script type="module" src="/converse/converse.min.js"></script>
</head><body class="converse-fullscreen"></body></html>`;
const kinds = { ".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".svg": "image/svg+xml" };
await page.setRequestInterception(true);
page.on("request", async (request) => {
  const { origin: asked, pathname } = new URL(request.url());
  if (asked !== origin) return request.continue();
  if (pathname === "/") return request.respond({ contentType: "text/html", body: html });
  const file = pathname.startsWith("/converse/") && normalize(pathname.slice("/converse/".length));
  if (!file) return request.continue();
  try {
    const body = await readFile(join(folder, "node_modules/converse.js/dist", file));
    await request.respond({ contentType: kinds[extname(file)] ?? "application/octet-stream", body });
  } catch {
    await request.respond({ status: 404 });
  }
});
page.on("pageerror", (error) => say(`error ${error.message}`));
await page.exposeFunction("say", say);
await page.goto(`${origin}/`);
await page.waitForFunction(() => window.converse?.initialize);
await page.evaluate((kind, service, account, password) => {
  converse.plugins.add("told", {
    initialize() {
      const { api } = this._converse;
      api.listen.on("connected", () => say(`online ${api.connection.get().jid}`));
      api.listen.on("reconnected", () => say("reconnected"));
      api.listen.on("disconnected", () => say("disconnected"));
      api.listen.on("message", ({ attrs }) => {
        if (attrs?.body) say(`message ${attrs.from} ${attrs.body}`);
      });
      window.api = api;
    },
  });
  converse.initialize({
    view_mode: "fullscreen",
    authentication: "login",
    auto_login: true,
    jid: account,
    password,
    [kind === "websocket" ? "websocket_url" : "bosh_service_url"]: service,
    discover_connection_methods: false,
    assets_path: "/converse/",
    whitelisted_plugins: ["told"],
    allow_non_roster_messaging: true,
    loglevel: "warn",
    muc_nickname_from_jid: true,
  });
}, kind, service, account, password);

const type = async (text) => {
  const field = await page.waitForSelector("textarea.chat-textarea", { visible: true });
  await field.type(text);
  await field.press("Enter");
};
const acts = {
  chat: async ({ to, body }) => {
    await page.evaluate((to) => api.chats.open(to, {}, true), to);
    await type(body);
  },
  room: async ({ room, body }) => {
    await page.evaluate((room) => api.rooms.open(room, { nick: "romeo" }, true), room);
    await type(body);
  },
  // A picture of so many pixels on a side, made here, uploaded, and its address sent.
  picture: async ({ to, side }) => {
    // Until every service has told what it is, also one that is away, it offers no upload.
    await page.waitForFunction(
      async (domain) => (await api.disco.features.get("urn:xmpp:http:upload:0", domain)).length,
      { polling: 200, timeout: 60_000 },
      new URL(origin).hostname,
    );
    say("upload is offered");
    await page.evaluate(async (to, side) => {
      const canvas = new OffscreenCanvas(side, side);
      canvas.getContext("2d").fillRect(0, 0, side / 2, side / 2);
      const picture = await canvas.convertToBlob({ type: "image/png" });
      const chat = await api.chats.open(to, {}, true);
      await chat.sendFiles([new File([picture], "balcony.png", { type: "image/png" })]);
    }, to, side);
  },
  bookmark: async ({ room, title, nick }) => {
    await page.evaluate((jid, name, nick) => api.bookmarks.set({ jid, name, nick, autojoin: false }), room, title, nick);
    say(`bookmarked ${room}`);
  },
  // A picture that its user sees, from its address.
  painted: async ({ url }) => {
    const size = await page.waitForFunction(
      (url) => {
        const painted = [...document.querySelectorAll("converse-chat-message-body img, converse-rich-text img, .chat-content img")];
        return painted.find((image) => image.src === url && image.complete && image.naturalWidth)?.naturalWidth;
      },
      {},
      url,
    );
    await page.screenshot({ path: picture });
    say(`painted ${await size.jsonValue()} ${url}`);
  },
  // What its user sees.
  shown: async ({ text }) => {
    await page.waitForFunction(
      (text) => [...document.querySelectorAll("converse-chat-message-body")].some((body) => body.textContent.includes(text)),
      {},
      text,
    );
    await page.screenshot({ path: picture });
    say(`shown ${text}`);
  },
};
let turn = Promise.resolve();
createInterface({ input: process.stdin }).on("line", (line) => {
  const { act, ...what } = JSON.parse(line);
  turn = turn.then(() => acts[act](what)).catch((error) => say(`failed ${act}: ${error.message}`));
}).on("close", async () => {
  await turn;
  await page.evaluate(() => api.user.logout());
  await browser.close();
  process.exit(0);
});

// A client by xmpp.js: lines of JSON on standard input are sent as messages, what happens is printed.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, service, domain, username, password, stay] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
// Node.js has one of its own from version 22 on.
globalThis.WebSocket ??= require("ws");
const { client, xml } = await import(require.resolve("@xmpp/client"));

const xmpp = client({ service, domain, username, password });
// On a loaded machine its PBKDF2 alone takes longer than the two seconds that it gives a login.
xmpp.timeout = 15_000;
if (stay) xmpp.reconnect.delay = 300;
else xmpp.reconnect.stop();
const say = (what) => console.log(what);

// What is not sent yet, or was not acknowledged when the session was lost.
const waiting = [];
let working = false;
const work = async () => {
  if (working) return;
  working = true;
  try {
    while (waiting.length && xmpp.status === "online") {
      await xmpp.send(waiting[0]);
      waiting.shift();
    }
  } catch {
    // The connection is gone. What it did take is kept by stream management, the rest waits here.
  }
  working = false;
};

xmpp.on("error", (error) => say(`error ${error.condition ?? error.code ?? error.message}`));
xmpp.on("element", (element) => say(`received ${element}`));
xmpp.on("send", (element) => say(`sent ${element}`));
xmpp.on("online", async (address) => {
  await xmpp.send(xml("presence"));
  say(`online ${address}`);
  await work();
});
xmpp.streamManagement.on("resumed", () => {
  say("resumed");
  setImmediate(work);
});
xmpp.streamManagement.on("fail", (stanza) => {
  if (stanza.is("message")) waiting.push(stanza);
});
xmpp.on("stanza", (stanza) => {
  if (!stanza.is("message")) return;
  const archived = stanza.getChild("stanza-id")?.attrs.id;
  say(`message ${stanza.attrs.from} ${stanza.getChildText("body")} [${archived}]`);
});
createInterface({ input: process.stdin }).on("line", (line) => {
  const { to, body, id } = JSON.parse(line);
  waiting.push(xml("message", { to, type: "chat", id }, xml("body", {}, body)));
  work();
}).on("close", async () => {
  await xmpp.stop();
  process.exit(0);
});
xmpp.start().catch((error) => {
  say(`refused ${error.condition ?? error.code ?? error.message}`);
  process.exit(1);
});

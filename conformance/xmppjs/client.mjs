// A client by xmpp.js: lines of JSON on standard input are sent as messages, what happens is printed.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, service, domain, username, password] = process.argv.slice(2);
const { client, xml } = await import(createRequire(`${folder}/`).resolve("@xmpp/client"));

const xmpp = client({ service, domain, username, password });
xmpp.reconnect.stop();
const say = (what) => console.log(what);
xmpp.on("error", (error) => say(`error ${error.condition ?? error.code ?? error.message}`));
xmpp.on("element", (element) => say(`received ${element}`));
xmpp.on("send", (element) => say(`sent ${element}`));
xmpp.on("online", async (address) => {
  await xmpp.send(xml("presence"));
  say(`online ${address}`);
});
xmpp.on("stanza", (stanza) => {
  if (stanza.is("message")) say(`message ${stanza.attrs.from} ${stanza.getChildText("body")}`);
});
createInterface({ input: process.stdin }).on("line", (line) => {
  const { to, body } = JSON.parse(line);
  xmpp.send(xml("message", { to, type: "chat" }, xml("body", {}, body)));
}).on("close", async () => {
  await xmpp.stop();
  process.exit(0);
});
xmpp.start().catch((error) => {
  say(`refused ${error.condition ?? error.code ?? error.message}`);
  process.exit(1);
});

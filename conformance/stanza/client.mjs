// A client by stanza: lines of JSON on standard input are sent as messages, what happens is printed.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, kind, service, domain, username, password, stay] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
// In a browser, where it belongs, WebSockets say of which site their page is.
const socket = require.resolve("ws");
const WebSocket = require(socket);
require.cache[socket].exports = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { origin: `https://${domain}` });
  }
};
const { createClient } = require("stanza");

const transports = { websocket: false, bosh: false, [kind]: service };
const xmpp = createClient({
  jid: `${username}@${domain}`,
  password,
  transports,
  autoReconnect: Boolean(stay),
  maxReconnectBackoff: 1,
});
const say = (what) => console.log(what);

// What was asked for while nothing could be sent, or was lost with its session.
const waiting = [];
const work = () => {
  while (waiting.length && xmpp.sessionStarted) xmpp.sendMessage(waiting.shift());
};

xmpp.on("session:started", () => {
  say(`online ${xmpp.jid}`);
  xmpp.sendPresence();
  work();
});
xmpp.on("stream:management:resumed", () => {
  say("resumed");
  work();
});
xmpp.on("message:failed", (message) => waiting.push(message));
xmpp.on("auth:failed", () => say("refused"));
xmpp.on("disconnected", () => say("disconnected"));
xmpp.on("raw:incoming", (text) => say(`received ${text}`));
xmpp.on("message", (message) => {
  const archived = message.stanzaIds?.[0]?.id;
  say(`message ${message.from} ${message.body} [${archived}]`);
});
createInterface({ input: process.stdin }).on("line", (line) => {
  const { to, body, id } = JSON.parse(line);
  waiting.push({ to, body, id, type: "chat" });
  work();
}).on("close", () => {
  xmpp.once("disconnected", () => process.exit(0));
  xmpp.disconnect();
});
xmpp.connect();

// Says one long message with an official Socket.IO client, reads it back, and tells how it travelled.
//
//     node wire.mjs SETTINGS
//
// SETTINGS is JSON: `client` (2 or 4), `url`, `transports`, `room`, `token`, `body`. What is printed is JSON:
// the transports at the beginning and at the end, whether there is TLS, the extensions of the WebSocket, how
// many bytes of it were `sent` and `pushed` for the message and `replied` for the history, and whether what
// came is what was said.

import { createRequire } from "node:module";

const { client, url, transports, room, token, body } = JSON.parse(process.argv[2]);
const DEADLINE_MS = 50_000;
setTimeout(() => { throw new Error("not done in time"); }, DEADLINE_MS).unref();
process.on("unhandledRejection", (error) => { throw error; });

const io = createRequire(import.meta.url)({ 2: "socket.io-client-2", 4: "socket.io-client" }[client]);
const shown = client === 2 ? { query: { token } } : { auth: { token } };
const socket = io(url, { transports, reconnection: false, ...shown });
const happens = (emitter, event) => new Promise((done) => emitter.once(event, done));

async function ask(name, fields) {
  const answer = await new Promise((done) => socket.emit(name, fields, done));
  if (!answer.ok) throw new Error(`${name}: ${JSON.stringify(answer)}`);
  return answer.ok;
}

socket.on("connect_error", (error) => { throw error; });
const engine = socket.io.engine;
let first;
engine.once("open", () => { first = engine.transport.name; });
await happens(socket, "connect");
if (engine.transport.name !== transports.at(-1)) await happens(engine, "upgrade");
await ask("join", { room });

const ws = engine.transport.ws;
const wire = ws._socket;
const before = { read: wire.bytesRead, written: wire.bytesWritten };
const pushed = happens(socket, "message");
await ask("publish", { room, body, client_id: "long" });
const push = await pushed;
const between = { read: wire.bytesRead, written: wire.bytesWritten };
const { messages } = await ask("history", { room });
const report = {
  first,
  last: engine.transport.name,
  is_sealed: wire.encrypted === true,
  extensions: typeof ws.extensions === "string" ? ws.extensions : Object.keys(ws.extensions).join(),
  sent: between.written - before.written,
  pushed: between.read - before.read,
  replied: wire.bytesRead - between.read,
  is_the_same: push.body === body && messages.at(-1).body === body,
};
socket.disconnect();
console.log(JSON.stringify(report));
process.exit(0);

// Is asked by Hubbub, with an official Socket.IO client, and answers as the question's name says.
//
//     node ask.mjs SETTINGS
//
// SETTINGS is JSON: `client` (2 or 4), `url`, `transports`, `parser` (json or msgpack), `room`, `token`. A line
// is printed when it is in the room, one for each question that is not answered at once, and one at the
// end of the connection.

import { createRequire } from "node:module";

const { client, url, transports, parser, room, token } = JSON.parse(process.argv[2]);
process.on("unhandledRejection", (error) => { throw error; });

const ACK = 3;
const require = createRequire(import.meta.url);
const io = require({ 2: "socket.io-client-2", 4: "socket.io-client" }[client]);
const options = { transports, reconnection: false };
if (parser === "msgpack") options.parser = require("socket.io-msgpack-parser");
if (client === 2) options.query = { token };
else options.auth = { token };
const socket = io(url, options);
const say = (what) => console.log(what);

// The number of the last question, which a client keeps to itself.
let number;
const { onevent } = socket;
socket.onevent = (packet) => {
  number = packet.id;
  onevent.call(socket, packet);
};
const acknowledge = (id, data) => socket.packet({ type: ACK, id, data });

let last;
socket.on("ask", ({ push, name, data }, ack) => {
  if (push !== "ask") throw new Error(push);
  last = number;
  if (name === "echo") ack(data, socket._lastOffset ?? null);
  else if (name === "bytes") ack(Buffer.from([0, 255]));
  else if (name === "nothing") ack();
  else if (name === "long") ack("x".repeat(data));
  else if (name === "twice") {
    ack("first");
    acknowledge(last, ["second"]);
  } else if (name === "silent") say("silent");
  else if (name === "leave") socket.disconnect();
  else if (name === "unasked") acknowledge(last + 1, ["of nothing"]);
  else throw new Error(name);
});
// Too late, when the room is told so.
socket.on("event", () => acknowledge(last, ["late"]));
socket.on("connect", () => socket.emit("join", { room }, (answer) => say(answer.ok ? "joined" : JSON.stringify(answer))));
socket.on("disconnect", (reason) => {
  say(reason);
  process.exit(0);
});
socket.on("connect_error", (error) => { throw error; });

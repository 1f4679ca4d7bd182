// Two people talk through Hubbub with an official Socket.IO client.
//
//     node talk.mjs SETTINGS
//
// SETTINGS is JSON: `client` (2, 3 or 4), `url`, `transports`, `parser` (json or msgpack), `room`,
// `tokens` of the two. What has happened is told line by line, as JSON with a `step`; after a step
// that is followed by something of the test's own, a line of input says that it is done.
// `tests/it/socketio_clients.rs` runs it, breaks what is between the two, and judges the report.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const settings = JSON.parse(process.argv[2]);
const { client, url, transports, room } = settings;

// Far longer than anything takes: only failures wait for it.
const DEADLINE_MS = 120_000;
setTimeout(() => fail(new Error("not done in time")), DEADLINE_MS).unref();

const require = createRequire(import.meta.url);
const load = { 2: "socket.io-client-2", 3: "socket.io-client-3", 4: "socket.io-client" }[client];
const io = require(load);
const connectTo = io.io ?? io;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function say(step, more = {}) {
  process.stdout.write(JSON.stringify({ step, ...more }) + "\n");
}

async function told() {
  const { done } = await lines.next();
  if (done) throw new Error("the test has ended");
}

function fail(error) {
  process.stderr.write(`${error.stack ?? error}\n${JSON.stringify([ada, bob].map((it) => it?.log))}\n`);
  process.exit(1);
}

process.on("unhandledRejection", fail);

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(what, holds) {
  const begun = Date.now();
  while (!holds()) {
    if (Date.now() - begun > DEADLINE_MS / 2) throw new Error(`never happened: ${what}`);
    await sleep(5);
  }
}

function plain(value) {
  if (Buffer.isBuffer(value) || value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return { $bin: Buffer.from(value.buffer ?? value, value.byteOffset, value.byteLength).toString("base64") };
  }
  return value;
}

class Person {
  constructor(name, token) {
    this.name = name;
    this.messages = [];
    this.events = [];
    this.gaps = [];
    this.connects = [];
    this.log = [];
    this.epoch = undefined;
    this.seq = 0;
    const options = {
      transports,
      forceNew: true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 400,
      timeout: 10_000,
    };
    if (settings.parser === "msgpack") options.parser = require("socket.io-msgpack-parser");
    // Clients of the second version have nothing else to show it by.
    if (client === 2) options.query = { token };
    else options.auth = { token };
    this.socket = connectTo(url, options);
    this.socket.on("connect", () => this.connected().catch(fail));
    this.socket.on("disconnect", (reason) => this.log.push(["disconnect", reason, this.socket._lastOffset]));
    this.socket.on("connect_error", (error) => this.log.push(["connect_error", String(error?.message ?? error)]));
    this.socket.on("message", (push, offset) => {
      this.log.push(["message", push.seq, offset]);
      this.messages.push({ seq: push.seq, body: plain(push.body), client_id: push.client_id });
      this.seq = push.seq;
    });
    for (const name of ["typing", "event"]) {
      this.socket.on(name, (push) => this.events.push({ name, user_id: push.user_id, data: push.data, event: push.name }));
    }
    this.socket.on("gap", (push) => this.gaps.push(push));
  }

  get engine() {
    return this.socket.io.engine;
  }

  async connected() {
    const was = { recovered: this.socket.recovered === true, id: this.engine.id };
    this.log.push(["connect", was]);
    if (!was.recovered) {
      const since = this.epoch === undefined ? {} : { since: this.seq, epoch: this.epoch };
      const reply = await this.ask("join", { room, ...since });
      if (this.epoch === undefined) this.seq = reply.last_seq;
      this.epoch = reply.epoch;
    }
    this.connects.push(was);
  }

  // Sends a command until it is answered: a client that is not connected keeps what it is to send, and
  // one whose connection is lost never hears of what it had sent.
  async ask(name, fields) {
    for (;;) {
      const answer = await new Promise((done) => {
        const late = setTimeout(done, 3000);
        this.socket.emit(name, fields, (answer) => {
          clearTimeout(late);
          done(answer);
        });
      });
      if (answer?.ok) return answer.ok;
      if (answer && !answer.err?.retry) throw new Error(`${name}: ${JSON.stringify(answer)}`);
      this.log.push(["again", name, answer]);
      await sleep(50);
    }
  }

  async publish(body, client_id) {
    const ack = await this.ask("publish", { room, body, client_id });
    return { seq: ack.seq, msg_no: ack.msg_no };
  }

  has(client_id) {
    return this.messages.some((message) => message.client_id === client_id);
  }
}

const [ada, bob] = ["ada", "bob"].map((name, n) => new Person(name, settings.tokens[n]));

async function both(client_id) {
  await until(`both have ${client_id}`, () => ada.has(client_id) && bob.has(client_id));
}

async function main() {
  await until("both are in the room", () => ada.connects.length && bob.connects.length);
  // Where the client changes to a WebSocket, that is waited for.
  const last = transports[transports.length - 1];
  await until("both go by the last transport", () =>
    [ada, bob].every((it) => it.engine.transport.name === last));
  say("joined", { transports: [ada, bob].map((it) => it.engine.transport.name) });

  const acks = [
    await ada.publish("hello", "c1"),
    await bob.publish("g\u00fcnstig \u{1f600} \u2028", "c2"),
    await ada.publish(Buffer.from([0, 128, 255]), "c3"),
  ];
  await both("c3");
  ada.socket.emit("typing", { room });
  await until("typing is seen", () => bob.events.some((it) => it.name === "typing"));
  await ada.ask("emit", { room, name: "cursor", data: { x: [1, 2.5, null] }, volatile: true });
  await until("the event is seen", () => bob.events.some((it) => it.name === "event"));
  say("talked", { acks });

  // Bob's connection breaks; Ada goes on.
  const before = bob.connects.length;
  bob.engine.close();
  await ada.publish("while you were out", "c4");
  await ada.publish("and more", "c5");
  await until("bob is back", () => bob.connects.length > before);
  await both("c5");
  say("dropped", { recovered: bob.connects.at(-1).recovered });

  // The node of Bob's session is killed by the test, which has another one say something.
  const counted = bob.connects.length;
  say("kill", { node: bob.engine.id.split("~")[0] });
  await told();
  await until("bob is on another node", () => bob.connects.length > counted);
  await both("meanwhile-9");
  await bob.publish("back again", "c6");
  await both("c6");
  say("killed", { recovered: bob.connects.at(-1).recovered });

  ada.socket.disconnect();
  bob.socket.disconnect();
  say("done", {
    people: [ada, bob].map(({ messages, gaps, connects, log }) => ({ messages, gaps, connects, log })),
  });
  process.exit(0);
}

main().catch(fail);

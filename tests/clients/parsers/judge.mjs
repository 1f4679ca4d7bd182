// The parsers of the official Socket.IO clients, asked line by line.
//
//     node judge.mjs < questions > answers
//
// A question is an object with `do`, what is to be done, and what it is to be done with; the answer
// is one with what came out, or with `error`. Bytes are {"$bin": base64}.
// `tests/it/socketio_parsers.rs` asks, and compares the answers with Hubbub's own.

import { createInterface } from "node:readline";

import * as eio4 from "engine.io-parser";
import eio3 from "engine.io-parser-2";
import msgpack from "socket.io-msgpack-parser";
import * as sio5 from "socket.io-parser";
import sio4 from "socket.io-parser-3";

function fromWire(value) {
  if (Array.isArray(value)) return value.map(fromWire);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.$bin === "string") return Buffer.from(value.$bin, "base64");
  // Not by assignment: a key may be `__proto__`.
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, fromWire(it)]));
}

function toWire(value) {
  if (Buffer.isBuffer(value) || value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return { $bin: Buffer.from(value.buffer ?? value, value.byteOffset, value.byteLength).toString("base64") };
  }
  if (Array.isArray(value)) return value.map(toWire);
  if (value === null || typeof value !== "object" || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, toWire(it)]));
}

// What all Socket.IO parsers have in common: their encoders and decoders are objects of events.
function socketio(parser) {
  return {
    decode({ messages }) {
      const decoder = new parser.Decoder();
      const packets = [];
      decoder.on("decoded", (packet) => {
        const { type, nsp, id, data } = packet;
        // The older one makes a packet of an error.
        if (String(data).startsWith("parser error")) throw new Error(data);
        packets.push({ type: type === 5 ? 2 : type === 6 ? 3 : type, nsp, id, data: toWire(data) });
      });
      for (const message of messages) decoder.add(fromWire(message));
      return { packets };
    },
    encode({ packet }) {
      const plain = fromWire(packet);
      let messages;
      const given = new parser.Encoder().encode(plain, (encoded) => (messages = encoded));
      return { messages: toWire(given ?? messages) };
    },
  };
}

function checked(packets) {
  if (packets.some((it) => it.type === "error")) throw new Error("parser error");
  return { packets: toWire(packets) };
}

const engineio4 = {
  decode: ({ payload }) => checked(eio4.decodePayload(payload)),
  packet: ({ message }) => checked([eio4.decodePacket(fromWire(message))]),
  encode({ packets }) {
    let payload;
    eio4.encodePayload(fromWire(packets), (encoded) => (payload = encoded));
    return { payload };
  },
};

const engineio3 = {
  decode({ payload }) {
    const packets = [];
    eio3.decodePayload(fromWire(payload), (packet) => void packets.push(packet));
    return checked(packets);
  },
  packet: ({ message }) => checked([eio3.decodePacket(fromWire(message))]),
  encode({ packets, bytes }) {
    let payload;
    eio3.encodePayload(fromWire(packets), bytes, (encoded) => (payload = encoded));
    return { payload: toWire(payload) };
  },
};

const PARSERS = {
  eio3: engineio3,
  eio4: engineio4,
  sio4: socketio(sio4),
  sio5: socketio(sio5),
  msgpack: socketio(msgpack),
};

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  const [parser, task] = question.do.split(".");
  let answer;
  try {
    answer = PARSERS[parser][task](question);
  } catch (error) {
    answer = { error: String(error.message) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

"""Two people talk through Hubbub, with Python's `websockets` and `msgpack` as their client.

    python talk.py ws://127.0.0.1:8080/ws json|msgpack ROOM TOKEN TOKEN

Prints one JSON object with what each of them saw; any other outcome is a failure.
`tests/it/foreign_client.rs` runs it and compares what is printed with what is stored.
"""

import asyncio
import base64
import json
import sys

import msgpack
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

# Far longer than anything takes: only failures wait for it.
DEADLINE_S = 30


class Json:
    """Objects in messages of text."""

    subprotocol = "hubbub.json.v1"
    wrong_message = b"binary"
    garbage = "{}" * 2

    @staticmethod
    def pack(value):
        return json.dumps(value)

    @staticmethod
    def unpack(message):
        if not isinstance(message, str):
            raise AssertionError("a binary message on a text protocol")
        return json.loads(message)

    @staticmethod
    def binary(value):
        return {"$bin": base64.b64encode(value).decode()}


class MsgPack:
    """The same in messages of bytes."""

    subprotocol = "hubbub.msgpack.v1"
    wrong_message = "text"
    garbage = b"\xc1" * 2

    @staticmethod
    def pack(value):
        return msgpack.packb(value)

    @staticmethod
    def unpack(message):
        if not isinstance(message, bytes):
            raise AssertionError("a message of text in MessagePack")
        return msgpack.unpackb(message)

    @staticmethod
    def binary(value):
        return value


class Client:
    """A connection: requests matched with their replies, pushes kept in order."""

    def __init__(self, socket, codec):
        self.socket = socket
        self.codec = codec
        self.next_id = 0
        self.pushes = []

    async def request(self, cmd, **fields):
        self.next_id += 1
        await self.socket.send(self.codec.pack({"id": self.next_id, "cmd": cmd, **fields}))
        reply = await self.reply()
        if reply["id"] != self.next_id:
            raise AssertionError(f"the reply to another request: {reply}")
        if "ok" not in reply:
            raise AssertionError(f"{cmd} was refused: {reply}")
        return reply["ok"]

    async def reply(self):
        while True:
            message = await self.read()
            if "push" not in message:
                return message
            self.pushes.append(message)

    async def push(self, name):
        while True:
            for place, push in enumerate(self.pushes):
                if push["push"] == name:
                    return self.pushes.pop(place)
            self.pushes.append(await self.read())

    async def read(self):
        return self.codec.unpack(await asyncio.wait_for(self.socket.recv(), DEADLINE_S))


def open_as(url, codec, token):
    # Compression is offered, as this library does by default; the hub may decline it.
    headers = {"Authorization": f"Bearer {token}"}
    return connect(
        url,
        additional_headers=headers,
        subprotocols=[codec.subprotocol],
        open_timeout=DEADLINE_S,
        max_size=2**20,
    )


def in_json(value):
    """What a report shows of bytes."""
    if isinstance(value, bytes):
        return Json.binary(value)
    raise TypeError(value)


async def main(url, name, room, *tokens):
    codec = {"json": Json, "msgpack": MsgPack}[name]
    ada_socket, bob_socket = [await open_as(url, codec, token) for token in tokens]
    ada, bob = Client(ada_socket, codec), Client(bob_socket, codec)
    for client in (ada, bob):
        joined = await client.request("join", room=room)

    # Bytes where there is a type for them.
    first = b"\x00\x80\xff" if codec is MsgPack else "hello"
    bodies = [first, "g\u00fcnstig \U0001f600 \u2028", "x" * 65536]
    acks = []
    for number, body in enumerate(bodies):
        sender = (ada, bob)[number % 2]
        acks.append(await sender.request("publish", room=room, body=body, client_id=f"py-{number}"))
    seen = [[await client.push("message") for _ in bodies] for client in (ada, bob)]

    await ada.request("typing", room=room, typing=True)
    await bob.push("typing")
    data = {"x": [1, 2.5, None], "bytes": codec.binary(b"\x00\xff")}
    await ada.request("emit", room=room, name="cursor", data=data, volatile=True)
    event = await bob.push("event")
    presence = await bob.request("presence", room=room)
    history = await bob.request("history", room=room)

    # RFC 6455's own ping, a message in pieces, and a clean end.
    latency_s = await asyncio.wait_for(await ada_socket.ping(b"ping"), DEADLINE_S)
    whole = codec.pack({"id": "pieces", "cmd": "ping"})
    await ada_socket.send([whole[:7], whole[7:19], whole[19:]])
    pieces_reply = await ada.reply()
    await ada_socket.close()
    await bob_socket.send(codec.garbage)
    garbage_reply = await bob.reply()
    await bob_socket.send(codec.wrong_message)
    try:
        while True:
            await bob.read()
    except ConnectionClosed as closed:
        bob_code = closed.rcvd.code if closed.rcvd else None

    report = {
        "subprotocol": ada_socket.subprotocol,
        "joined": joined,
        "acks": acks,
        "seen": seen,
        "event": event,
        "presence": presence,
        "history": history,
        "latency_s": latency_s,
        "pieces_reply": pieces_reply,
        "garbage_reply": garbage_reply,
        "close_codes": [ada_socket.close_code, bob_code],
    }
    print(json.dumps(report, default=in_json))


asyncio.run(main(*sys.argv[1:]))

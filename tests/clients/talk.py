"""Two people talk through Hubbub, with Python's `websockets` as their client.

    python talk.py ws://127.0.0.1:8080/ws ROOM TOKEN TOKEN

Prints one JSON object with what each of them saw; any other outcome is a failure.
`tests/it/foreign_client.rs` runs it and compares what is printed with what is stored.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

# Far longer than anything takes: only failures wait for it.
DEADLINE_S = 30


class Client:
    """A connection: requests matched with their replies, pushes kept in order."""

    def __init__(self, socket):
        self.socket = socket
        self.next_id = 0
        self.pushes = []

    async def request(self, cmd, **fields):
        self.next_id += 1
        await self.socket.send(json.dumps({"id": self.next_id, "cmd": cmd, **fields}))
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
        text = await asyncio.wait_for(self.socket.recv(), DEADLINE_S)
        if not isinstance(text, str):
            raise AssertionError("a binary message on a text protocol")
        return json.loads(text)


def open_as(url, token):
    # Compression is offered, as this library does by default; the hub may decline it.
    headers = {"Authorization": f"Bearer {token}"}
    return connect(url, additional_headers=headers, open_timeout=DEADLINE_S, max_size=2**20)


async def main(url, room, *tokens):
    ada_socket, bob_socket = [await open_as(url, token) for token in tokens]
    ada, bob = Client(ada_socket), Client(bob_socket)
    for client in (ada, bob):
        joined = await client.request("join", room=room)

    bodies = ["hello", "g\u00fcnstig \U0001f600 \u2028", "x" * 65536]
    acks = []
    for number, body in enumerate(bodies):
        sender = (ada, bob)[number % 2]
        acks.append(await sender.request("publish", room=room, body=body, client_id=f"py-{number}"))
    seen = [[await client.push("message") for _ in bodies] for client in (ada, bob)]

    await ada.request("typing", room=room, typing=True)
    await bob.push("typing")
    await ada.request("emit", room=room, name="cursor", data={"x": [1, 2.5, None]}, volatile=True)
    event = await bob.push("event")
    presence = await bob.request("presence", room=room)
    history = await bob.request("history", room=room)

    # RFC 6455's own ping, a message in pieces, and a clean end.
    latency_s = await asyncio.wait_for(await ada_socket.ping(b"ping"), DEADLINE_S)
    pieces = ['{"id":"pie', 'ces","cmd":"pi', 'ng"}']
    await ada_socket.send(pieces)
    pieces_reply = await ada.reply()
    await ada_socket.close()
    await bob_socket.send("{}" * 2)
    garbage_reply = await bob.reply()
    await bob_socket.send(b"binary")
    try:
        while True:
            await bob.read()
    except ConnectionClosed as closed:
        bob_code = closed.rcvd.code if closed.rcvd else None

    report = {
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
    print(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))

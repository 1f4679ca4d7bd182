"""Two people talk through Hubbub with python-socketio, of its fifth or fourth version.

    python talk.py SETTINGS

The same script as talk.mjs, in other words: see there for SETTINGS and for what is printed.
"""

import base64
import json
import sys
import threading
import time

import socketio

settings = json.loads(sys.argv[1])
ROOM = settings["room"]
TRANSPORTS = settings["transports"]
# Far longer than anything takes: only failures wait for it.
DEADLINE_S = 120


def say(step, **more):
    print(json.dumps({"step": step, **more}), flush=True)


def until(what, holds):
    end = time.monotonic() + DEADLINE_S / 2
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"never happened: {what}; {[it.log for it in people]}")
        time.sleep(0.005)


def plain(value):
    if isinstance(value, (bytes, bytearray)):
        return {"$bin": base64.b64encode(value).decode()}
    return value


class Person:
    def __init__(self, token):
        self.messages, self.events, self.gaps = [], [], []
        self.connects, self.log = [], []
        self.epoch, self.seq = None, 0
        self.socket = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.4, randomization_factor=0.1)
        self.socket.on("connect", self.connected)
        self.socket.on("disconnect", lambda *why: self.log.append(("disconnect", [str(it) for it in why])))
        self.socket.on("connect_error", lambda *why: self.log.append(("connect_error", [str(it) for it in why])))
        self.socket.on("message", self.message)
        self.socket.on("typing", lambda push: self.events.append(("typing", push)))
        self.socket.on("event", lambda push: self.events.append(("event", push)))
        self.socket.on("gap", self.gaps.append)
        url = settings["url"]
        if settings["client"] == 4:
            # As clients of its time show it.
            self.socket.connect(f"{url}?token={token}", transports=TRANSPORTS)
        else:
            self.socket.connect(url, auth={"token": token}, transports=TRANSPORTS)

    def message(self, push):
        self.messages.append(
            {"seq": push["seq"], "body": plain(push["body"]), "client_id": push.get("client_id")}
        )
        self.seq = push["seq"]

    def connected(self):
        # Not here: the answer would be waited for by who has to read it.
        threading.Thread(target=self.join, daemon=True).start()

    def join(self):
        fields = {"room": ROOM}
        if self.epoch is not None:
            fields.update(since=self.seq, epoch=self.epoch)
        reply = self.ask("join", fields)
        if self.epoch is None:
            self.seq = reply["last_seq"]
        self.epoch = reply["epoch"]
        self.connects.append({"recovered": False, "id": self.socket.eio.sid})

    def ask(self, name, fields):
        while True:
            try:
                answer = self.socket.call(name, fields, timeout=3)
            except Exception as error:  # not connected, or no answer in time
                self.log.append(("again", name, repr(error)))
                time.sleep(0.05)
                continue
            if "ok" in answer:
                return answer["ok"]
            if not answer["err"].get("retry"):
                raise AssertionError(f"{name}: {answer}")
            time.sleep(0.05)

    def publish(self, body, client_id):
        ack = self.ask("publish", {"room": ROOM, "body": body, "client_id": client_id})
        return {"seq": ack["seq"], "msg_no": ack["msg_no"]}

    def has(self, client_id):
        return any(it["client_id"] == client_id for it in self.messages)

    def drop(self):
        """Breaks the connection below the client, which comes back by itself."""
        if self.socket.eio.current_transport == "websocket":
            self.socket.eio.ws.close()
        else:
            self.socket.eio.disconnect(abort=True)


people = []


def both(client_id):
    until(f"both have {client_id}", lambda: all(it.has(client_id) for it in people))


def main():
    people.extend(Person(token) for token in settings["tokens"])
    ada, bob = people
    until("both are in the room", lambda: ada.connects and bob.connects)
    until(
        "both go by the last transport",
        lambda: all(it.socket.transport() == TRANSPORTS[-1] for it in people),
    )
    say("joined", transports=[it.socket.transport() for it in people])

    acks = [
        ada.publish("hello", "c1"),
        bob.publish("g\u00fcnstig \U0001f600 \u2028", "c2"),
        ada.publish(b"\x00\x80\xff", "c3"),
    ]
    both("c3")
    ada.socket.emit("typing", {"room": ROOM})
    until("typing is seen", lambda: any(name == "typing" for name, _ in bob.events))
    ada.ask("emit", {"room": ROOM, "name": "cursor", "data": {"x": [1, 2.5, None]}, "volatile": True})
    until("the event is seen", lambda: any(name == "event" for name, _ in bob.events))
    say("talked", acks=acks)

    before = len(bob.connects)
    bob.drop()
    ada.publish("while you were out", "c4")
    ada.publish("and more", "c5")
    until("bob is back", lambda: len(bob.connects) > before)
    both("c5")
    say("dropped", recovered=False)

    counted = len(bob.connects)
    say("kill", node=bob.socket.eio.sid.split("~")[0])
    assert sys.stdin.readline(), "the test has ended"
    until("bob is on another node", lambda: len(bob.connects) > counted)
    both("meanwhile-9")
    bob.publish("back again", "c6")
    both("c6")
    say("killed", recovered=False)

    ada.socket.disconnect()
    bob.socket.disconnect()
    say(
        "done",
        people=[
            {"messages": it.messages, "gaps": it.gaps, "connects": it.connects, "log": [list(line) for line in it.log]}
            for it in people
        ],
    )


main()

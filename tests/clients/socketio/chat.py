"""The other half of a conversation with a page in a browser: see chat.html.

    python chat.py SETTINGS

SETTINGS is JSON: `url`, `token`, `room`, `rounds`. It joins the room and prints a line. The page asks, this
answers, so many rounds; then this says bytes, and the page does. What was seen is printed as JSON.
"""

import base64
import json
import sys
import threading

import socketio

settings = json.loads(sys.argv[1])
ROOM = settings["room"]
# Far longer than anything takes: only failures wait for it.
DEADLINE_S = 60

messages = []
came = threading.Condition()
socket = socketio.Client(reconnection=False)


@socket.on("message")
def message(push):
    body = push["body"]
    if isinstance(body, bytes):
        body = {"$bin": base64.b64encode(body).decode()}
    with came:
        messages.append({"seq": push["seq"], "body": body, "client_id": push["client_id"]})
        came.notify_all()


def ask(name, fields):
    answer = socket.call(name, fields, timeout=20)
    if "ok" not in answer:
        raise AssertionError(f"{name}: {answer}")
    return answer["ok"]


def publish(body, client_id):
    ask("publish", {"room": ROOM, "body": body, "client_id": client_id})


def until_said(client_id):
    with came:
        heard = came.wait_for(lambda: any(it["client_id"] == client_id for it in messages), DEADLINE_S)
    if not heard:
        raise AssertionError(f"never came: {client_id}; {messages}")


socket.connect(settings["url"], auth={"token": settings["token"]})
ask("join", {"room": ROOM})
print("joined", flush=True)
for n in range(settings["rounds"]):
    until_said(f"page-{n}")
    publish(f"answer {n} \u00fc", f"python-{n}")
publish(b"\x00\x80\xff", "python-bytes")
until_said("page-bytes")
socket.disconnect()
print(json.dumps(messages), flush=True)

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';

async function member(address, room) {
  const socket = new WebSocket(`ws://${address}/?room=${room}`);
  await once(socket, 'open');
  return socket;
}

test('what a member sends comes to all members of the room', async () => {
  const path = fileURLToPath(new URL('server.mjs', import.meta.url));
  const server = spawn(process.execPath, [path, '--port', '0'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    const [line] = await once(createInterface(server.stdout), 'line');
    const address = line.replace('listening on ', '');
    const ann = await member(address, 'a');
    const ben = await member(address, 'a');
    const eve = await member(address, 'b');
    for (const data of ['hello', Buffer.alloc(300, 7), Buffer.alloc(200_000, 8)]) {
      const heard = [once(ann, 'message'), once(ben, 'message')];
      ann.send(data);
      for (const [body, isBinary] of await Promise.all(heard)) {
        assert.equal(isBinary, typeof data !== 'string');
        assert.deepEqual(body, Buffer.from(data));
      }
    }
    // The first that Eve hears is her own.
    const heard = once(eve, 'message');
    eve.send('anybody?');
    assert.equal(String((await heard)[0]), 'anybody?');

    const ended = once(server, 'exit');
    server.stdin.end();
    assert.equal((await ended)[0], 0);
  } finally {
    server.kill('SIGKILL');
  }
});

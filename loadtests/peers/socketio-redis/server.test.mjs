import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createClient } from '@redis/client';
import { io } from 'socket.io-client';

async function start(...options) {
  const path = fileURLToPath(new URL('server.mjs', import.meta.url));
  const server = spawn(process.execPath, [path, '--port', '0', ...options], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface(server.stdout), 'line');
  return { server, address: line.replace('listening on ', '') };
}

async function member(address, room) {
  const socket = io(`http://${address}`, { transports: ['websocket'], forceNew: true });
  assert.equal(await socket.emitWithAck('join', room), true);
  return socket;
}

// What Ann says in room "a" is heard by Ann and Ben; Eve in room "b" first hears herself.
async function talk(one, other) {
  const ann = await member(one, 'a');
  const ben = await member(other, 'a');
  const eve = await member(other, 'b');
  for (const body of ['hello', 'x'.repeat(70_000)]) {
    const heard = [once(ann, 'message'), once(ben, 'message')];
    ann.emit('publish', { room: 'a', body });
    for (const [message] of await Promise.all(heard)) {
      assert.deepEqual(message, { room: 'a', body });
    }
  }
  const heard = once(eve, 'message');
  eve.emit('publish', { room: 'b', body: 'anybody?' });
  assert.deepEqual((await heard)[0], { room: 'b', body: 'anybody?' });
  for (const socket of [ann, ben, eve]) socket.close();
}

test('what a member sends comes to all members of the room', async () => {
  const { server, address } = await start();
  try {
    await talk(address, address);
    const ended = once(server, 'exit');
    server.stdin.end();
    assert.equal((await ended)[0], 0);
  } finally {
    server.kill('SIGKILL');
  }
});

const redisIsThere = spawnSync('redis-server', ['--version']).status === 0;

test('and on another server', { skip: !redisIsThere }, async () => {
  const port = await freePort();
  const redis = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    { stdio: 'ignore' },
  );
  const servers = [];
  try {
    const url = `redis://127.0.0.1:${port}`;
    await listens(url);
    for (let n = 0; n < 2; n += 1) servers.push(await start('--redis', url));
    await talk(servers[0].address, servers[1].address);
  } finally {
    for (const { server } of servers) server.kill('SIGKILL');
    redis.kill('SIGKILL');
  }
});

async function freePort() {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  listener.close();
  await once(listener, 'close');
  return port;
}

async function listens(url) {
  for (;;) {
    const client = createClient({ url, socket: { reconnectStrategy: false } });
    client.on('error', () => {});
    try {
      await client.connect();
      return client.destroy();
    } catch {
      await setTimeout(20);
    }
  }
}

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';

const redisIsThere = spawnSync('redis-server', ['--version']).status === 0;

// What there is a copy of is answered by Redis alone, so no Postgres is needed for it.
test('a copy is given as it is, and once', { skip: !redisIsThere }, async () => {
  const port = await freePort();
  const redis = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    { stdio: 'ignore' },
  );
  const url = `redis://127.0.0.1:${port}`;
  const path = fileURLToPath(new URL('server.mjs', import.meta.url));
  const server = spawn(
    process.execPath,
    [path, '--redis', url, '--postgres', 'postgres://nobody@127.0.0.1:1/none'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  try {
    const copies = await listens(url);
    const body = '{"messages":[],"epoch":1,"last_seq":0,"next":null}';
    await copies.set('messages:room:newest:50', body);
    copies.disconnect();
    const [line] = await once(createInterface(server.stdout), 'line');
    const page = `http://${line.replace('listening on ', '')}/api/rooms/room/messages`;
    const whole = await ask(page, {});
    assert.equal(whole.headers['x-cache'], 'HIT');
    assert.equal(whole.text, body);
    const again = await ask(page, { 'if-none-match': whole.headers.etag });
    assert.equal(again.status, 304);
    const ended = once(server, 'exit');
    server.stdin.end();
    assert.equal((await ended)[0], 0);
  } finally {
    server.kill('SIGKILL');
    redis.kill('SIGKILL');
  }
});

// Not `fetch`, which asks for no copies along with `If-None-Match`.
async function ask(url, headers) {
  const [answer] = await once(get(url, { headers }), 'response');
  let text = '';
  for await (const some of answer.setEncoding('utf8')) text += some;
  return { status: answer.statusCode, headers: answer.headers, text };
}

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
    const client = new Redis(url, { lazyConnect: true, retryStrategy: null });
    client.on('error', () => {});
    try {
      await client.connect();
      return client;
    } catch {
      client.disconnect();
      await setTimeout(20);
    }
  }
}

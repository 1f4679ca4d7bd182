// A broadcast server as a user of Socket.IO would write it; with `--redis URL` it shares its rooms
// with others of its kind.
//
// `join` puts a client into a room, `publish` sends `{room, body}` to all in that room as the event
// `message`.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { createClient } from '@redis/client';
import { createAdapter } from '@socket.io/redis-adapter';
import { Server } from 'socket.io';

const { values } = parseArgs({
  options: { port: { type: 'string', default: '0' }, redis: { type: 'string' } },
});

const server = createServer();
const io = new Server(server, { serveClient: false, transports: ['websocket'] });
if (values.redis) {
  const publisher = createClient({ url: values.redis });
  const subscriber = publisher.duplicate();
  for (const client of [publisher, subscriber]) {
    // Each connects again by itself.
    client.on('error', () => {});
    await client.connect();
  }
  io.adapter(createAdapter(publisher, subscriber));
}

io.on('connection', (socket) => {
  socket.on('join', async (room, ack) => {
    await socket.join(room);
    ack(true);
  });
  socket.on('publish', ({ room, body }) => {
    io.to(room).emit('message', { room, body });
  });
});

// Node's own backlog of 511 would refuse part of a storm of connects.
server.listen({ host: '127.0.0.1', port: Number(values.port), backlog: 4096 }, () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});

process.on('SIGTERM', () => process.exit(0));
process.stdin.on('end', () => process.exit(0)).resume();

// A broadcast server as a user of Node's `ws` would write it who wants it fast.
//
// `ws://HOST/?room=R` makes a member of R; what a member sends goes verbatim to all members of R.
// Each message is framed once, by `ws` itself, and the same buffer written to everybody: what
// Socket.IO's adapter does, too.
import { parseArgs } from 'node:util';
import { Sender, WebSocket, WebSocketServer } from 'ws';

const { values } = parseArgs({ options: { port: { type: 'string', default: '0' } } });
const rooms = new Map();

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(values.port),
  perMessageDeflate: false,
  clientTracking: false,
  // Node's own 511 would refuse part of a storm of connects.
  backlog: 4096,
});

server.on('listening', () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});

server.on('connection', (socket, request) => {
  const name = new URL(request.url, 'ws://localhost').searchParams.get('room') ?? '';
  let members = rooms.get(name);
  if (!members) rooms.set(name, (members = new Set()));
  members.add(socket);

  socket.on('message', (data, isBinary) => {
    const frame = Buffer.concat(
      Sender.frame(data, {
        fin: true,
        rsv1: false,
        opcode: isBinary ? 2 : 1,
        mask: false,
        readOnly: true,
      }),
    );
    for (const member of members) {
      // Past `send`, which would make a frame of its own for each. Nothing of `ws` is queued
      // that this could overtake: there is no compression, and only this writes messages.
      if (member.readyState === WebSocket.OPEN) member._socket.write(frame);
    }
  });
  socket.on('close', () => {
    members.delete(socket);
    if (members.size === 0 && rooms.get(name) === members) rooms.delete(name);
  });
  // `close` follows.
  socket.on('error', () => {});
});

process.on('SIGTERM', () => process.exit(0));
process.stdin.on('end', () => process.exit(0)).resume();

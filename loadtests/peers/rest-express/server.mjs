// Messages over REST as a team would write it with Express: a copy in Redis if there is one, else a
// query whose result is put there for a while. A write drops the copy of what it makes out of date.
//
// It asks nobody who they are, and does not look whether they may read the room.
import { parseArgs } from 'node:util';
import express from 'express';
import { Redis } from 'ioredis';
import pg from 'pg';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    redis: { type: 'string' },
    postgres: { type: 'string' },
  },
});

// As long as a node keeps messages.
const TTL_S = 30;
const LIMIT_DEFAULT = 50;
const LIMIT_MAX = 100;

// Positions fit into a number.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);
// As many connections as a node has at most.
// Beside those of the node, of a hundred that Postgres has.
const pool = new pg.Pool({ connectionString: values.postgres, max: 20 });
pool.on('error', () => {});
const redis = new Redis(values.redis);
// It connects again by itself.
redis.on('error', () => {});

const PAGE = `
  SELECT seq, msg_no, id, user_id, body, client_id, created_at
  FROM messages
  WHERE room_id = $1 AND seq < $2
  ORDER BY seq DESC
  LIMIT $3`;
const HEAD = 'SELECT epoch, last_seq FROM room_heads WHERE room_id = $1';
const INSERT = `
  WITH head AS (
    UPDATE room_heads SET last_seq = last_seq + 1, last_msg_no = last_msg_no + 1
    WHERE room_id = $1
    RETURNING last_seq, last_msg_no
  )
  INSERT INTO messages (id, room_id, seq, msg_no, user_id, client_id, body, created_at)
  SELECT gen_random_uuid(), $1, last_seq, last_msg_no, $2, $3, $4, now() FROM head
  RETURNING seq, msg_no, id, created_at`;
// Whoever writes: it asks nobody who they are.
const NOBODY = '00000000-0000-0000-0000-000000000000';

const key = (room, before, limit) => `messages:${room}:${before ?? 'newest'}:${limit}`;

const app = express();
app.disable('x-powered-by');
app.use(express.json());

app.get('/api/rooms/:room/messages', async (req, res) => {
  const { room } = req.params;
  const limit = Math.min(Number(req.query.limit ?? LIMIT_DEFAULT), LIMIT_MAX);
  const { before } = req.query;
  const copy = await redis.get(key(room, before, limit));
  if (copy !== null) {
    res.set('X-Cache', 'HIT').type('json').send(copy);
    return;
  }
  const [head, page] = await Promise.all([
    pool.query({ name: 'head', text: HEAD, values: [room] }),
    pool.query({ name: 'page', text: PAGE, values: [room, before ?? Number.MAX_SAFE_INTEGER, limit] }),
  ]);
  if (head.rowCount === 0) {
    res.sendStatus(404);
    return;
  }
  const messages = page.rows.reverse();
  const next = messages.length === limit ? messages[0].seq : null;
  const body = JSON.stringify({ messages, ...head.rows[0], next });
  await redis.set(key(room, before, limit), body, 'EX', TTL_S);
  res.set('X-Cache', 'MISS').type('json').send(body);
});

app.post('/api/rooms/:room/messages', async (req, res) => {
  const { room } = req.params;
  const { body, client_id: clientId } = req.body;
  const said = await pool.query({ name: 'insert', text: INSERT, values: [room, NOBODY, clientId, body] });
  if (said.rowCount === 0) {
    res.sendStatus(404);
    return;
  }
  await redis.del(key(room, undefined, LIMIT_DEFAULT));
  res.status(201).json(said.rows[0]);
});

// Node's own backlog of 511 would refuse part of a storm of connects.
const server = app.listen({ host: '127.0.0.1', port: Number(values.port), backlog: 4096 }, () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});

// As long as a node's, so that none is closed between two requests.
server.keepAliveTimeout = 75_000;

process.on('SIGTERM', () => process.exit(0));
process.stdin.on('end', () => process.exit(0)).resume();

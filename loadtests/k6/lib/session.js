// One person's visit: a socket that stays open, and REST beside it, with pauses to think.
import http from 'k6/http';
import exec from 'k6/execution';
import { Counter, Rate, Trend } from 'k6/metrics';
import { WebSocket } from 'k6/websockets';

import { API, SOCKET, bearer, person } from './people.js';

// From the publisher's send to a member's push, both by the clock of this process.
const deliveryMs = new Trend('delivery_ms');
const deliveries = new Counter('deliveries');
// From sending a publish to its ack, that is, to its commit.
const ackMs = new Trend('ack_ms');
const connectMs = new Trend('connect_ms');
const apiCachedMs = new Trend('api_cached_ms');
const apiUncachedMs = new Trend('api_uncached_ms');
// Of requests over the socket and REST, connects and ends of sessions.
const errors = new Rate('errors');

// THINK=0.2 makes everybody five times as busy.
const THINK = Number(__ENV.THINK || 1);

// After a connection that failed.
const BACK_AFTER_MS = 2000;

// What somebody does and how many seconds they think before it.
const PROFILES = {
  talker: { share: 0.25, think: [4, 10], act: talk },
  reader: { share: 0.5, think: [3, 9], act: browse },
  listener: { share: 0.25, think: [10, 20], act: (visit) => visit.request({ cmd: 'ping' }) },
};

function profileOf(n) {
  // Every room has its share of each.
  let left = ((n * 7) % 20) / 20;
  for (const profile of Object.values(PROFILES)) {
    if (left < profile.share) return profile;
    left -= profile.share;
  }
  return PROFILES.listener;
}

// This virtual user's. Each has its own, so only some of them tell: a thousand lines say no more.
const told = new Set();
const TELLERS = 10;

function outcome(fine, what) {
  errors.add(!fine);
  if (!fine && exec.vu.idInTest <= TELLERS && !told.has(what)) {
    told.add(what);
    console.error(what);
  }
}

function talk(visit) {
  visit.request({ cmd: 'typing', room: visit.room });
  visit.published += 1;
  visit.request({
    cmd: 'publish',
    room: visit.room,
    body: `${Date.now()} ${'so they say '.repeat(1 + Math.floor(Math.random() * 12))}`,
    client_id: `${exec.vu.idInTest}-${exec.vu.iterationInInstance}-${visit.published}`,
  });
}

function browse(visit) {
  const paths = ['/rooms', `/rooms/${visit.room}`, `/rooms/${visit.room}/messages?limit=50`];
  visit.get(paths[Math.floor(Math.random() * paths.length)]);
  if (visit.msgNo > 0) visit.request({ cmd: 'read', room: visit.room, msg_no: visit.msgNo });
}

class Visit {
  constructor(who, profile, sessionSeconds) {
    this.token = who.token;
    this.room = who.room;
    this.profile = profile;
    this.endsAt = Date.now() + sessionSeconds * 1000 * (0.5 + Math.random() / 2);
    this.pending = new Map();
    this.requests = 0;
    this.published = 0;
    this.msgNo = 0;
    this.etags = new Map();
    this.open();
  }

  open() {
    const begun = Date.now();
    this.socket = new WebSocket(SOCKET, null, { headers: bearer(this.token) });
    this.socket.onopen = () => {
      connectMs.add(Date.now() - begun);
      outcome(true);
      this.request({ cmd: 'join', room: this.room }, () => this.think());
    };
    this.socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    this.socket.onerror = (event) => outcome(false, `socket: ${event.error}`);
    this.socket.onclose = (event) => {
      clearTimeout(this.timer);
      outcome(this.leaving, `closed with ${event.code || 'no code'}`);
      for (const { cmd } of this.pending.values()) outcome(false, `${cmd}: no reply`);
      // As clients do; the visit lasts until then.
      if (!this.leaving) setTimeout(() => {}, BACK_AFTER_MS * (0.5 + Math.random()));
    };
  }

  request(request, done) {
    this.requests += 1;
    this.pending.set(this.requests, { cmd: request.cmd, sent: Date.now(), done });
    this.socket.send(JSON.stringify({ id: this.requests, ...request }));
  }

  receive(message) {
    if (message.push === 'message') {
      deliveries.add(1);
      deliveryMs.add(Date.now() - Number(message.body.split(' ', 1)[0]));
      this.msgNo = message.msg_no;
    }
    const asked = message.push ? null : this.pending.get(message.id);
    if (!asked) return;
    this.pending.delete(message.id);
    outcome('ok' in message, `${asked.cmd}: ${JSON.stringify(message.err)}`);
    if (asked.cmd === 'publish') ackMs.add(Date.now() - asked.sent);
    if (asked.done) asked.done();
    if (this.leaving) this.leave();
  }

  // Not awaited by blocking, which would delay the pushes that come meanwhile.
  async get(path) {
    const headers = bearer(this.token);
    const etag = this.etags.get(path);
    if (etag) headers['If-None-Match'] = etag;
    const params = { headers, responseType: 'none', tags: { name: path.replace(this.room, ':room') } };
    const response = await http.asyncRequest('GET', `${API}${path}`, null, params);
    outcome([200, 304].includes(response.status), `${params.tags.name}: ${response.status}`);
    const cached = response.status === 304 || ['HIT', 'STALE'].includes(response.headers['X-Cache']);
    (cached ? apiCachedMs : apiUncachedMs).add(response.timings.duration);
    if (response.headers.Etag) this.etags.set(path, response.headers.Etag);
  }

  think() {
    if (Date.now() >= this.endsAt) {
      this.leaving = true;
      this.leave();
      return;
    }
    const [least, most] = this.profile.think;
    const seconds = (least + Math.random() * (most - least)) * THINK;
    this.timer = setTimeout(() => {
      this.profile.act(this);
      this.think();
    }, seconds * 1000);
  }

  // Whoever leaves hears the replies to what they asked first, for a second at most.
  leave() {
    if (this.pending.size === 0) this.socket.close(1000);
    else if (!this.closing) this.closing = setTimeout(() => this.socket.close(1000), 1000);
  }
}

// One iteration of a virtual user; it is over when the socket is closed and nothing is awaited.
export function session(load, people) {
  const n = exec.vu.idInTest - 1;
  new Visit(person(load, people, n), profileOf(n), load.sessionSeconds);
}

// Who takes part: signs people up and puts them into rooms, over REST, before the load begins.
import http from 'k6/http';

const BATCH = 20;
const BASE_URL = __ENV.BASE_URL || 'http://127.0.0.1:8080';

export const API = `${BASE_URL}/api`;
export const SOCKET = `${BASE_URL.replace(/^http/, 'ws')}/ws`;

export function bearer(token) {
  return { Authorization: `Bearer ${token}` };
}

// Sends requests some at a time. Any that is refused ends the run: there is nothing to measure.
function send(requests, expected) {
  const responses = [];
  for (let at = 0; at < requests.length; at += BATCH) {
    responses.push(...http.batch(requests.slice(at, at + BATCH)));
  }
  for (const response of responses) {
    if (!expected.includes(response.status)) {
      throw new Error(
        `${response.request.url}: ${response.status} ${response.body || response.error}\n` +
          'The node must run with HUBBUB__LIMITS__EXEMPT for the address that this comes from.',
      );
    }
  }
  return responses;
}

function post(path, body, params) {
  const headers = { 'Content-Type': 'application/json', ...params.headers };
  return ['POST', `${API}${path}`, JSON.stringify(body), { ...params, headers }];
}

// For k6's setup(). The names are new each time, so that a node can be used again. Each virtual
// user gets a copy of what this returns, hence one string for all tokens.
export function signUp(load) {
  const run = `k6-${Date.now().toString(36)}`;
  const registrations = [];
  for (let n = 0; n < load.users; n += 1) {
    const username = `${run}-${n}`;
    const person = { username, email: `${username}@example.org`, password: 'correct horse' };
    // Without the jar, one person's cookie would be sent along with the next one's request.
    registrations.push(post('/auth/register', person, { jar: new http.CookieJar() }));
  }
  const tokens = send(registrations, [201]).map((response) => response.json('token'));
  const rooms = [];
  const joins = [];
  for (let n = 0; n < load.users; n += 1) {
    const slug = `${run}-${n % load.rooms}`;
    const params = { headers: bearer(tokens[n]) };
    if (n < load.rooms) rooms.push(post('/rooms', { name: slug, slug }, params));
    else joins.push(post(`/rooms/${slug}/join`, {}, params));
  }
  send(rooms, [201]);
  send(joins, [200]);
  return { run, tokens: tokens.join(' ') };
}

// The n-th of them.
export function person(load, people, n) {
  const width = (people.tokens.length + 1) / load.users;
  const at = (n % load.users) * width;
  return {
    token: people.tokens.slice(at, at + width - 1),
    room: `${people.run}-${(n % load.users) % load.rooms}`,
  };
}

// How many people are there when, and what must hold of them.

const MEMBERS_PER_ROOM = 20;

// Targets T2, T3 and T5. "Cached" is what the node says that it took from a cache (X-Cache, or 304).
const LATENCIES = {
  delivery_ms: ['p(95)<100'],
  api_cached_ms: ['p(95)<50'],
  api_uncached_ms: ['p(95)<200', 'p(99)<500'],
};
const OUTCOMES = {
  errors: ['rate<0.01'],
  // A run in which nothing was delivered shows nothing.
  deliveries: ['count>0'],
};
// SMOKE: whether it works at all, on a machine that does other things, too.
const TARGETS = __ENV.SMOKE ? OUTCOMES : { ...LATENCIES, ...OUTCOMES };

// "90s", "5m", "1h" -> seconds
function seconds(text) {
  const parts = /^(\d+(?:\.\d+)?)([smh])$/.exec(text);
  if (!parts) throw new Error(`a duration is a number and s, m or h, not ${text}`);
  return Number(parts[1]) * { s: 1, m: 60, h: 3600 }[parts[2]];
}

// A script's load: `stages` are pairs of a duration and the number of people at its end.
// USERS (the most at once) and DURATION (of the whole) make it smaller or larger in proportion.
export function load(stages, thresholds = {}) {
  const peak = Math.max(...stages.map(([, people]) => people));
  const total = stages.reduce((sum, [duration]) => sum + seconds(duration), 0);
  const users = __ENV.USERS ? Number(__ENV.USERS) : peak;
  const duration = __ENV.DURATION ? seconds(__ENV.DURATION) : total;
  if (!(users >= 2)) throw new Error('USERS is a number from 2');
  // People come and go, also in a short run.
  const sessionSeconds = Math.min(60, Math.max(2, duration / 4));
  const leaving = `${Math.ceil(sessionSeconds + 10)}s`;
  return {
    users,
    rooms: Math.ceil(users / MEMBERS_PER_ROOM),
    sessionSeconds,
    options: {
      scenarios: {
        people: {
          executor: 'ramping-vus',
          startVUs: 0,
          stages: stages.map(([stage, people]) => ({
            duration: `${Math.max(1, Math.round((seconds(stage) / total) * duration * 1000))}ms`,
            target: Math.round((people / peak) * users),
          })),
          // A session that is cut off would count as an error.
          gracefulRampDown: leaving,
          gracefulStop: leaving,
        },
      },
      thresholds: { ...TARGETS, ...thresholds },
      setupTimeout: '20m',
      batch: 20,
      batchPerHost: 20,
      summaryTrendStats: ['count', 'med', 'p(95)', 'p(99)', 'max'],
    },
  };
}

// More and more people, up to 2,000 or until it breaks. 19 minutes.
import { load } from './lib/load.js';
import { signUp } from './lib/people.js';
import { session } from './lib/session.js';

const LOAD = load(
  [250, 500, 750, 1000, 1250, 1500, 1750, 2000]
    .flatMap((people) => [
      ['20s', people],
      ['2m', people],
    ])
    .concat([['20s', 0]]),
  // It broke: there is no use in going on. Where, the last line of the progress says.
  {
    errors: [{ threshold: 'rate<0.05', abortOnFail: true, delayAbortEval: '30s' }],
    delivery_ms: [{ threshold: 'p(95)<1000', abortOnFail: true, delayAbortEval: '30s' }],
  },
);

export const options = LOAD.options;
export const setup = () => signUp(LOAD);
export default (people) => session(LOAD, people);

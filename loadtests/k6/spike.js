// 200 people, and suddenly 1,500; then 200 again, who must be served as before. 5 minutes.
import { load } from './lib/load.js';
import { signUp } from './lib/people.js';
import { session } from './lib/session.js';

const LOAD = load([
  ['30s', 200],
  ['30s', 200],
  ['10s', 1500],
  ['2m', 1500],
  ['10s', 200],
  ['80s', 200],
  ['20s', 0],
]);

export const options = LOAD.options;
export const setup = () => signUp(LOAD);
export default (people) => session(LOAD, people);

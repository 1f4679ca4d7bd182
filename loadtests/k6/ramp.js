// A day: 100, 500, 1,000 people, and home again. 24 minutes.
import { load } from './lib/load.js';
import { signUp } from './lib/people.js';
import { session } from './lib/session.js';

const LOAD = load([
  ['2m', 100],
  ['5m', 500],
  ['10m', 1000],
  ['5m', 500],
  ['2m', 0],
]);

export const options = LOAD.options;
export const setup = () => signUp(LOAD);
export default (people) => session(LOAD, people);

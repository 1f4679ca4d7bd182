// Up to 1,500 people in steps of 5 minutes. 30 minutes.
import { load } from './lib/load.js';
import { signUp } from './lib/people.js';
import { session } from './lib/session.js';

const LOAD = load([
  ['5m', 100],
  ['5m', 500],
  ['5m', 1000],
  ['5m', 1500],
  ['5m', 1500],
  ['5m', 0],
]);

export const options = LOAD.options;
export const setup = () => signUp(LOAD);
export default (people) => session(LOAD, people);

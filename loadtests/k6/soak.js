// An ordinary load for an hour: the node's memory must not grow.
import { load } from './lib/load.js';
import { signUp } from './lib/people.js';
import { session } from './lib/session.js';

const LOAD = load([
  ['2m', 400],
  ['56m', 400],
  ['2m', 0],
]);

export const options = LOAD.options;
export const setup = () => signUp(LOAD);
export default (people) => session(LOAD, people);

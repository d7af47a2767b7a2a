import type { Random } from '../io/index.ts';

const MOODS = (
  'able agile amber bold brave bright brisk calm candid clever crisp daring eager early fair fancy fond gentle ' +
  'glad golden grand happy hardy honest jolly keen kind lively loyal lucid lucky mellow merry modest neat nimble ' +
  'noble patient proud quick quiet rapid ready robust rosy serene sharp silent sleek smart snug solid steady ' +
  'sunny swift tidy tender vivid warm wise witty zesty'
).split(' ');
const PEOPLE = (
  'abel archimedes banach bell bohr boole bose cantor cerf chandra codd curie darwin dijkstra dirac einstein euclid ' +
  'euler faraday fermat fermi feynman franklin galileo gauss germain goedel hamilton hawking heisenberg hilbert ' +
  'hopper huygens hypatia johnson kalam kepler knuth kowalevski lamarr lamport leavitt lovelace maxwell meitner ' +
  'mendel mirzakhani newton noether pascal pasteur perlman poincare ramanujan ride ritchie shannon tesla ' +
  'thompson turing volta wilson wing wozniak wu yonath'
).split(' ');

/** A name for what the user did not name: `calm_noether`. */
export function randomName(random: Random): string {
  return `${pick(MOODS, random)}_${pick(PEOPLE, random)}`;
}

function pick(words: readonly string[], random: Random): string {
  return words[Math.floor(random.float() * words.length)] ?? 'plain';
}

import type { Random } from '../io/index.ts';
import { ClusterError } from '../model/index.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const MOODS =
  'agile brave calm daring eager fancy gentle happy jolly keen lively merry nimble patient quick quiet ready sharp steady sunny swift tidy vivid warm witty';
const THINGS =
  'anchor beacon breeze canyon cedar comet copper delta ember falcon fjord harbor heron island lantern maple meadow otter pebble quartz raven reef river sparrow summit thicket tundra willow';

/** @throws ClusterError `invalid` in Docker's words */
export function checkName(name: string): string {
  const bare = name.startsWith('/') ? name.slice(1) : name;
  if (NAME.test(bare)) return bare;
  throw new ClusterError(
    'invalid',
    `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
  );
}

/** A name nobody has yet, for containers that were given none. */
export function inventName(random: Random, taken: (name: string) => boolean): string {
  const pick = (words: string): string => {
    const list = words.split(' ');
    return list[Math.floor(random.float() * list.length)] ?? 'plain';
  };
  for (let attempt = 0; ; attempt++) {
    const name = `${pick(MOODS)}_${pick(THINGS)}${attempt === 0 ? '' : attempt}`;
    if (!taken(name)) return name;
  }
}

import { expect, test } from 'vitest';
import {
  createObject,
  type InstantMs,
  type Secret,
  type SecretId,
  Tables,
  VERSION_NONE,
  type Version,
} from '../model/index.ts';
import { checkPresentVersion, checkReadVersion, findSecret } from './lookup.ts';

const NOW = 1 as InstantMs;

function tablesWith(...secrets: readonly (readonly [id: string, name: string])[]): Tables {
  const tables = new Tables();
  const changes = secrets.map(([id, Name]) => {
    const secret: Secret = {
      id: id as SecretId,
      version: VERSION_NONE,
      createdAt: NOW,
      updatedAt: NOW,
      spec: { Name },
    };
    return createObject('secret', secret);
  });
  tables.apply(changes, 1 as Version, NOW);
  return tables;
}

test('an id beats a name, a name beats the prefix of an id', () => {
  const tables = tablesWith(['abc', 'xyz'], ['xyz', 'one'], ['oneandtwo', 'two']);
  expect(findSecret(tables, 'xyz').id).toBe('xyz');
  expect(findSecret(tables, 'one').id).toBe('xyz');
  expect(findSecret(tables, 'onea').id).toBe('oneandtwo');
});

test('a prefix that fits two is refused', () => {
  const tables = tablesWith(['aa1', 'one'], ['aa2', 'two']);
  expect(() => findSecret(tables, 'aa')).toThrow('secret aa is ambiguous (2 matches found)');
});

test.each(['nothing', ''])('"%s" is not found', (asked) => {
  expect(() => findSecret(tablesWith(['aa1', 'one']), asked)).toThrow(`secret ${asked} not found`);
});

test.each([
  [{ version: 9, specSeen: undefined }, 5, true],
  [{ version: 9, specSeen: 6 }, 9, true],
  [{ version: 9, specSeen: 6 }, 7, true],
  [{ version: 9, specSeen: 6 }, 6, false],
  [{ version: 9, specSeen: 6 }, 10, false],
])('of %j, whoever read version %i may write: %s', (object, asked, allowed) => {
  const check = (): void => checkReadVersion(object, asked);
  if (allowed) expect(check).not.toThrow();
  else expect(check).toThrow('update out of sequence');
});

test('where only the spec changes, whoever read an older version may not write', () => {
  expect(() => checkPresentVersion({ version: 9 }, 9)).not.toThrow();
  expect(() => checkPresentVersion({ version: 9 }, 8)).toThrow('update out of sequence');
});

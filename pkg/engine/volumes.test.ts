import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { systemRandom } from '../io/index.ts';
import { VolumeStore } from './volumes.ts';

test('containers that begin at once share the volume they name', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-volumes-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  const volumes = new VolumeStore(directory, systemRandom);
  await volumes.open();
  const [first, second] = await Promise.all([
    volumes.ensure({ name: 'data' }),
    volumes.ensure({ name: 'data' }),
  ]);
  expect(second).toBe(first);
  expect(volumes.list()).toEqual([first]);
});

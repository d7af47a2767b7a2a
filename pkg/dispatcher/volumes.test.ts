import { expect, test } from 'vitest';
import { silentLogger } from '../io/index.ts';
import {
  createObject,
  type InstantMs,
  type NodeId,
  type PublicationState,
  type Secret,
  type SecretId,
  VERSION_NONE,
  type Volume,
  type VolumeId,
} from '../model/index.ts';
import { FakeStore } from './fake-store.ts';
import { recordVolumeReport, volumesOfNode } from './volumes.ts';

const AT = 1 as InstantMs;
const ID = 'v1' as VolumeId;
const NODE = 'n1' as NodeId;
const BASE = { version: VERSION_NONE, createdAt: AT, updatedAt: AT };

function storeWith(state: PublicationState, more: Partial<Volume> = {}): FakeStore {
  const store = new FakeStore(() => AT);
  store.lead(true);
  const secret: Secret = { ...BASE, id: 's1' as SecretId, spec: { Name: 'key', Data: 'eA==' } };
  const volume: Volume = {
    ...BASE,
    id: ID,
    spec: {
      Name: 'data',
      Driver: 'disk',
      ClusterVolumeSpec: { Secrets: [{ Key: 'token', Secret: 'key' }] },
    },
    info: { handle: 'h1', capacityBytes: 0, context: { a: 'b' }, topology: [] },
    publications: [{ nodeId: NODE, driverNodeId: 'd1', state, context: { device: 'sdb' } }],
    ...more,
  };
  store.write([createObject('secret', secret), createObject('volume', volume)]);
  return store;
}

test.each<[PublicationState, boolean | undefined]>([
  ['pending-publish', undefined],
  ['published', false],
  ['pending-node-unpublish', true],
  ['pending-controller-unpublish', undefined],
])('a volume that is %s: what its node is told', (state, leaving) => {
  const { view } = storeWith(state);
  const secrets = new Map<string, Secret>();
  const told = volumesOfNode(view, NODE, secrets).get(ID);
  expect(told?.leaving).toBe(leaving);
  expect([...secrets.keys()]).toEqual(told ? ['s1'] : []);
  if (!told) return;
  const { handle, context, publishContext } = told;
  expect({ handle, context, publishContext, secrets: told.secrets }).toEqual({
    handle: 'h1',
    context: { a: 'b' },
    publishContext: { device: 'sdb' },
    secrets: { token: 's1' },
  });
  expect(volumesOfNode(view, 'n2' as NodeId, secrets).size).toBe(0);
});

test('a node that let a volume go hands it over to the driver; an early or late word for it changes nothing', async () => {
  const states: (PublicationState | undefined)[] = [];
  for (const state of ['published', 'pending-node-unpublish', 'pending-publish'] as const) {
    const store = storeWith(state);
    const report = [{ volumeId: ID, gone: true }];
    await recordVolumeReport({ store, log: silentLogger }, NODE, report);
    states.push(store.view.get('volume', ID)?.publications[0]?.state);
  }
  expect(states).toEqual(['published', 'pending-controller-unpublish', 'pending-publish']);
});

test('what goes wrong on a node is kept until it says that it went well, and not written twice', async () => {
  const store = storeWith('published');
  const say = async (error: string | undefined): Promise<string | undefined> => {
    const report = [{ volumeId: ID, gone: false, error }];
    await recordVolumeReport({ store, log: silentLogger }, NODE, report);
    return store.view.get('volume', ID)?.publications[0]?.error;
  };
  expect(await say('no device')).toBe('no device');
  const { index } = store.view;
  expect(await say('no device')).toBe('no device');
  expect(store.view.index).toBe(index);
  expect(await say(undefined)).toBeUndefined();
  store.lead(false);
  expect(await say('unheard')).toBeUndefined();
});

import { expect, test } from 'vitest';
import {
  type AttachmentWish,
  createObject,
  type Network,
  type NetworkId,
  type NodeId,
  updateObject,
  VERSION_NONE,
} from '../model/index.ts';
import { AttachmentClaims } from './attachments.ts';
import { AT, bench, settle } from './bench.ts';

const APP = 'app-id' as NetworkId;
const [ONE, TWO] = ['1' as NodeId, '2' as NodeId];
const wish = (containerId: string, network = 'app'): AttachmentWish => ({
  containerId,
  containerName: `name-${containerId}`,
  network,
  aliases: ['alias'],
});

function network(id: string, Name: string, Attachable: boolean): Network {
  const spec = { Name, Attachable };
  const times = { version: VERSION_NONE, createdAt: AT, updatedAt: AT };
  return { id: id as NetworkId, ...times, spec, subnets: [], vni: 4100 };
}

type Bench = Awaited<ReturnType<typeof bench>>;

function prepare(one: Bench): AttachmentClaims {
  one.store.write([
    createObject('network', network(APP, 'app', true)),
    createObject('network', network('shut-id', 'shut', false)),
  ]);
  return new AttachmentClaims(one.store, one.clock);
}

/** What the allocator does: everything that waits gets an address. */
function allocate({ store }: Bench): void {
  const waiting = [...store.view.list('attachment')].filter(({ address }) => !address);
  store.write(
    waiting.map((one, at) =>
      updateObject('attachment', { ...one, address: `10.9.0.${at + 2}/24` }),
    ),
  );
}

const held = ({ store }: Bench): string[] =>
  [...store.view.list('attachment')].map(({ id, nodeId }) => `${nodeId} ${id}`);

test('a claim is answered when the addresses are allocated, and the node gets the table', async () => {
  await using one = await bench();
  const claims = prepare(one);
  const agent = await one.agent('1');
  const claimed = claims.claim(ONE, [wish('c1'), wish('c2', APP)]);
  await settle();
  allocate(one);
  expect(await claimed).toMatchObject([
    { containerId: 'c1', networkId: APP, networkName: 'app', address: '10.9.0.2/24' },
    { containerId: 'c2', network: APP, address: '10.9.0.3/24' },
  ]);
  await one.clock.advance(10);
  const table = agent.assignments().flatMap(({ changes }) => changes.networks);
  expect(table.find(({ networkId }) => networkId === APP)?.endpoints).toMatchObject([
    { name: 'name-c1', nodeId: ONE, addresses: ['10.9.0.2'], aliases: ['alias'] },
    { name: 'name-c2', addresses: ['10.9.0.3'] },
  ]);
});

test('what a node does not name any longer is released; other nodes keep theirs', async () => {
  await using one = await bench();
  const claims = prepare(one);
  const first = claims.claim(ONE, [wish('c1'), wish('c2')]);
  const other = claims.claim(TWO, [wish('c3')]);
  await settle();
  allocate(one);
  await Promise.all([first, other]);
  await claims.claim(ONE, [wish('c2')]);
  expect(held(one)).toEqual([`1 c2.${APP}`, `2 c3.${APP}`]);
  await claims.claim(ONE, []);
  expect(held(one)).toEqual([`2 c3.${APP}`]);
});

test('unknown networks and those that are not attachable are refused one by one', async () => {
  await using one = await bench();
  const claims = prepare(one);
  expect(await claims.claim(ONE, [wish('c1', 'shut'), wish('c1', 'gone')])).toMatchObject([
    {
      error: {
        kind: 'forbidden',
        text: 'Could not attach to network shut: rpc error: code = PermissionDenied desc = network shut not manually attachable',
      },
    },
    { error: { kind: 'not-found', text: 'network gone not found' } },
  ]);
  expect(held(one)).toEqual([]);
});

test('a manager that does not lead answers nothing', async () => {
  await using one = await bench();
  const claims = prepare(one);
  one.store.lead(false);
  await expect(claims.claim(ONE, [])).rejects.toMatchObject({ kind: 'unavailable' });
});

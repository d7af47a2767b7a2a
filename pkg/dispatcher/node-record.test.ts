import { expect, test } from 'vitest';
import type { DraftTables, InstantMs, NodeDescription, NodeId, NodeRole } from '../model/index.ts';
import { FakeStore } from './fake-store.ts';
import { recordLost, recordNewNode, recordRegistration } from './node-record.ts';

const NOW = 1 as InstantMs;
const node = (name: string, dataPathAddress?: string): Parameters<typeof recordNewNode>[1] => ({
  nodeId: name as NodeId,
  role: 'worker',
  now: NOW,
  dataPathAddress,
});

/** A cluster whose only node is ready at an address. */
async function clusterAt(address: string): Promise<{
  change: (work: (draft: DraftTables) => void) => Promise<unknown>;
  register: (name: string, address: string) => Promise<unknown>;
}> {
  const store = new FakeStore(() => NOW);
  store.lead(true);
  const change = (work: (draft: DraftTables) => void): Promise<unknown> => store.update(work);
  const register = (name: string, at: string): Promise<unknown> =>
    change((draft) =>
      recordRegistration(draft, {
        nodeId: name as NodeId,
        role: 'worker' as NodeRole,
        description: { hostname: name } as NodeDescription,
        address: at,
        now: NOW,
      }),
    );
  await change((draft) => recordNewNode(draft, node('first', address)));
  await register('first', address);
  return { change, register };
}

test('a host that tunnels of the others cannot lead to does not join, and is told why', async () => {
  const { change } = await clusterAt('fd00::1');
  const join = (name: string, address?: string): Promise<unknown> =>
    change((draft) => recordNewNode(draft, node(name, address)));
  await expect(join('second', '10.0.0.2')).rejects.toMatchObject({
    kind: 'invalid',
    message:
      'nodes of this cluster send each other packets of overlay networks by IPv6 (first at fd00::1), and this one would by IPv4 (10.0.0.2) - give it an IPv6 address with --data-path-addr or --advertise-addr',
  });
  await join('second', 'fd00::2');
  await join('third');
  const { change: other } = await clusterAt('10.0.0.1');
  await expect(other((draft) => recordNewNode(draft, node('second', 'fd00::2')))).rejects.toThrow(
    'give it an IPv4 address',
  );
});

test('nor does one come back there alone; when all have gone they move together', async () => {
  const { change, register } = await clusterAt('10.0.0.1');
  await change((draft) => recordNewNode(draft, node('second', '10.0.0.2')));
  await register('second', '10.0.0.2');
  await expect(register('second', 'fd00::2')).rejects.toThrow('by IPv4 (first at 10.0.0.1)');
  await change((draft) => recordLost(draft, ['first' as NodeId], NOW));
  await register('second', 'fd00::2');
  await expect(register('first', '10.0.0.1')).rejects.toThrow('by IPv6 (second at fd00::2)');
  await register('first', 'fd00::1');
});

import { expect, test } from 'vitest';
import type { NetworkTable } from './endpoint.ts';
import { tableText } from './network-check.ts';

const TABLE = {
  networkId: 'n',
  name: 'app',
  vni: 4096,
  dataPathPort: 4789,
  ingress: false,
  internal: false,
  subnets: [{ subnet: '10.0.1.0/24', gateway: '10.0.1.1' }],
  peers: [
    { nodeId: 'a', address: '192.0.2.1' },
    { nodeId: 'b', address: '192.0.2.2' },
  ],
  endpoints: [],
  services: [{ serviceId: 's', name: 'web', vips: ['10.0.1.2'], aliases: [], ports: [] }],
  gateways: [],
  revision: 7,
} as unknown as NetworkTable;

test('tables that say the same have the same text, whatever their order, revision and way here', () => {
  const [first, second] = TABLE.peers;
  if (!first || !second) throw new Error('two peers');
  const sent = JSON.parse(JSON.stringify(TABLE)) as NetworkTable;
  const same = { ...sent, peers: [second, { address: first.address, nodeId: first.nodeId }] };
  const unset = { ...TABLE.services[0], weights: undefined } as NetworkTable['services'][number];
  expect(tableText({ ...same, revision: 9 as typeof TABLE.revision })).toBe(tableText(TABLE));
  expect(tableText({ ...TABLE, services: [unset] })).toBe(tableText(TABLE));
});

test('and tables that do not have not', () => {
  expect(tableText({ ...TABLE, peers: TABLE.peers.slice(1) })).not.toBe(tableText(TABLE));
  expect(tableText({ ...TABLE, mtu: 1400 })).not.toBe(tableText(TABLE));
});

import { expect, test } from 'vitest';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import {
  type Attachment,
  attachmentId,
  createObject,
  type NetworkId,
  type NodeId,
  removeObject,
  VERSION_NONE,
} from '../model/index.ts';

function attach(
  cluster: DecideCluster,
  networkId: NetworkId,
  wish: Partial<Attachment> & { readonly containerId: string },
): Attachment {
  const [node] = cluster.tables.list('node');
  const attachment: Attachment = {
    id: attachmentId(wish.containerId, networkId),
    version: VERSION_NONE,
    createdAt: cluster.now,
    updatedAt: cluster.now,
    networkId,
    nodeId: node?.id ?? ('' as NodeId),
    containerName: wish.containerId,
    aliases: [],
    ...wish,
  };
  cluster.apply([createObject('attachment', attachment)]);
  return attachment;
}

const addressOf = (cluster: DecideCluster, { id }: Attachment): string | undefined =>
  cluster.tables.get('attachment', id)?.address;

test('attachments, tasks and virtual addresses never share an address', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const app = cluster.addNetwork({ Name: 'app', Attachable: true });
  cluster.settle();
  const one = attach(cluster, app.id, { containerId: 'c1' });
  cluster.settle();
  const web = cluster.createService(webSpec({ Networks: [{ Target: app.id }] }));
  const two = attach(cluster, app.id, { containerId: 'c2' });
  cluster.settle();
  const all = [
    addressOf(cluster, one),
    addressOf(cluster, two),
    ...cluster.service(web).endpoint.virtualIps.map(({ address }) => address),
    ...cluster.tasks(web).flatMap(({ networks }) => networks.flatMap((net) => net.addresses)),
  ];
  expect(all).toHaveLength(6);
  expect(all.every((address) => address?.startsWith('10.0.16.'))).toBe(true);
  expect(new Set(all).size).toBe(6);
});

test('an address that was asked for is given if it is free, else refused', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const app = cluster.addNetwork({ Name: 'app', Attachable: true });
  cluster.settle();
  const wantedAddress = '10.0.16.77';
  const one = attach(cluster, app.id, { containerId: 'c1', wantedAddress });
  const two = attach(cluster, app.id, { containerId: 'c2', wantedAddress });
  const far = attach(cluster, app.id, { containerId: 'c3', wantedAddress: '10.99.0.1' });
  cluster.settle();
  expect(addressOf(cluster, one)).toBe('10.0.16.77/20');
  expect(cluster.tables.get('attachment', two.id)?.refusal).toMatch(/10\.0\.16\.77 is not free/);
  expect(cluster.tables.get('attachment', far.id)?.refusal).toMatch(/10\.99\.0\.1 is not free/);
  expect(cluster.pass()).toEqual([]);
});

test('attachments go with their node', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const app = cluster.addNetwork({ Name: 'app', Attachable: true });
  cluster.settle();
  const [gone, stays] = [...cluster.tables.list('node')];
  if (!gone || !stays) throw new Error('two nodes were asked for');
  const one = attach(cluster, app.id, { containerId: 'c1', nodeId: gone.id });
  const two = attach(cluster, app.id, { containerId: 'c2', nodeId: stays.id });
  cluster.settle();
  cluster.apply([removeObject('node', gone)]);
  cluster.settle();
  expect(cluster.tables.get('attachment', one.id)).toBeUndefined();
  expect(addressOf(cluster, two)).toBeDefined();
});

test('on an IPv6 network both addresses are given, and either can be asked for', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const app = cluster.addNetwork({
    Name: 'app',
    Attachable: true,
    EnableIPv6: true,
    IPAM: { Config: [{ Subnet: 'fd00:5::/64' }] },
  });
  const plain = cluster.addNetwork({ Name: 'plain', Attachable: true });
  cluster.settle();
  const one = attach(cluster, app.id, { containerId: 'c1' });
  const two = attach(cluster, app.id, { containerId: 'c2', wantedAddress6: 'fd00:5:0::99' });
  const three = attach(cluster, app.id, { containerId: 'c3', wantedAddress6: 'fd00:5::99' });
  const four = attach(cluster, plain.id, { containerId: 'c4', wantedAddress6: 'fd00:5::98' });
  cluster.settle();
  const found = (wish: Attachment): Attachment | undefined =>
    cluster.tables.get('attachment', wish.id);
  expect(found(one)).toMatchObject({ address: '10.0.16.2/20', address6: 'fd00:5::2/64' });
  expect(found(two)).toMatchObject({ address6: 'fd00:5::99/64' });
  expect(found(three)?.refusal).toBe('address fd00:5::99 is not free in network app');
  expect(found(four)?.refusal).toBe('address fd00:5::98 is not free in network plain');
});

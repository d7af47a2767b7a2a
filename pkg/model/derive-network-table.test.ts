import { expect, test } from 'vitest';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import { deriveNetworkTable } from './derive-network-table.ts';
import { must } from './invariant.ts';

test('what labels of a service wish for is in the tables of its networks, the mesh in the ingress table alone', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const ingress = cluster.tables.byName('network', 'ingress');
  const app = cluster.addNetwork({ Name: 'app', Driver: 'overlay' });
  const image = { Image: 'nginx:1', Labels: { 'muster.network.weight': '3' } };
  cluster.createService(
    webSpec({
      Labels: {
        'muster.network.affinity': 'client',
        'muster.network.allow-from': 'api',
        'muster.network.mesh-prefer': 'local',
      },
      TaskTemplate: { ContainerSpec: image, Networks: [{ Target: app.id }] },
      EndpointSpec: { Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080 }] },
    }),
  );
  cluster.converge();
  const [inApp, inMesh] = [app, must(ingress, 'the mesh')].map(({ id }) =>
    deriveNetworkTable(cluster.tables, id),
  );
  expect(inApp?.services).toMatchObject([{ affinity: 'client', allowFrom: ['api'] }]);
  expect(inApp?.services[0]?.mesh).toBeUndefined();
  // For SRV records.
  expect(inApp?.services[0]?.ports).toMatchObject([{ targetPort: 80, protocol: 'tcp' }]);
  expect(inMesh?.services).toMatchObject([{ affinity: 'client', mesh: { preferLocal: true } }]);
  expect(inMesh?.services[0]?.allowFrom).toBeUndefined();
  expect(inApp?.endpoints.map(({ weight, state }) => ({ weight, state }))).toEqual(
    Array.from({ length: 3 }, () => ({ weight: 3, state: 'in-service' })),
  );
});

test('the mesh has both families, but for tasks on a node whose kernel has IPv4 alone', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const { id } = must(cluster.tables.byName('network', 'ingress'), 'the mesh');
  cluster.createService(
    webSpec({
      Mode: { Global: {} },
      EndpointSpec: { Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080 }] },
    }),
  );
  cluster.converge();
  const familiesByNode = (): unknown =>
    Object.fromEntries(
      (deriveNetworkTable(cluster.tables, id)?.endpoints ?? []).map(({ nodeId, addresses }) => [
        nodeId,
        addresses.map((address) => (address.includes(':') ? 6 : 4)),
      ]),
    );
  const nodes = [...cluster.tables.list('node')];
  const [one, two] = [must(nodes[0], 'a node'), must(nodes[1], 'another')];
  expect(familiesByNode()).toEqual({ [one.id]: [4, 6], [two.id]: [4, 6] });
  const description = { ...must(two.description, 'a description'), lacksIpv6: true };
  cluster.setNode(two.id, (node) => ({ ...node, description }));
  expect(familiesByNode()).toEqual({ [one.id]: [4, 6], [two.id]: [4] });
});

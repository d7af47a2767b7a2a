import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  createCertificateRequest,
  createRoot,
  identityOf,
  issueNodeCertificate,
} from '../ca/index.ts';
import type {
  EndpointState,
  NetworkEndpoint,
  NetworkPeer,
  NodeId,
  NodeRole,
  ServiceId,
  TaskId,
  Version,
} from '../model/index.ts';
import type { Identity } from '../rpc/index.ts';
import {
  bench,
  CHECKED,
  cleanUp,
  DESCRIPTION,
  eventually,
  FakeManager,
  type Identities,
  NET,
  table,
  WORKER,
} from './bench.ts';

/** More than three heartbeats. */
const STALL_MS = 1_200;
let identities: Identities;
beforeAll(async () => {
  const [clusterId, now] = ['c'.repeat(25), Date.now()];
  const root = await createRoot({ clusterId, now });
  const identity = async (nodeId: string, role: NodeRole): Promise<Identity> => {
    const { csrPem, keyPem } = await createCertificateRequest();
    const request = { root, csrPem, nodeId, role, clusterId, now };
    const certificatePem = await issueNodeCertificate(request);
    return identityOf({ certificatePem, keyPem, rootPem: root.certificatePem });
  };
  identities = {
    manager: await identity('m'.repeat(25), 'manager'),
    worker: await identity(WORKER, 'worker'),
  };
});
afterEach(cleanUp);

function endpoint(taskId: string, state: EndpointState): NetworkEndpoint {
  return {
    taskId: taskId as TaskId,
    nodeId: WORKER,
    serviceId: 'svc' as ServiceId,
    serviceName: 'web',
    slotName: 'web.1',
    name: `web.1.${taskId}`,
    addresses: ['10.0.1.5'],
    aliases: [],
    state,
  };
}

describe('session', () => {
  it('registers, says every period that it lives, and acknowledges what the kernel holds', async () => {
    const { manager, applied } = await bench(identities);
    expect(manager.heard[0]).toMatchObject({
      kind: 'register',
      description: { hostname: 'host' },
      address: '192.0.2.1',
    });
    await eventually(() => {
      expect(manager.heard.filter(({ kind }) => kind === 'heartbeat').length).toBeGreaterThan(2);
    });
    const sequence = manager.assign({ networks: [table] }, true);
    await eventually(() => expect(manager.heard).toContainEqual({ kind: 'acknowledge', sequence }));
    expect(applied).toEqual([[table]]);
  });

  it('puts what changed into the tables it holds', async () => {
    const { manager, applied } = await bench(identities);
    const [a, b, c] = [endpoint('a', 'out'), endpoint('b', 'out'), endpoint('c', 'out')];
    const peer = (name: string, last: number): NetworkPeer => ({
      nodeId: name as NodeId,
      address: `10.0.0.${last}`,
    });
    const peers = [peer('node1', 1), peer('node3', 3)];
    manager.assign({ networks: [{ ...table, endpoints: [a, c], peers }] }, true);
    const sequence = manager.assign({
      networkPatches: [
        {
          networkId: NET,
          revision: 9 as Version,
          endpoints: [b, endpoint('c', 'in-service')],
          removedEndpoints: ['a' as TaskId],
          peers: [peer('node2', 2), peer('node3', 9)],
          removedPeers: ['node1' as NodeId],
          gateways: [peer('node2', 12)],
          removedGateways: [],
        },
      ],
    });
    await eventually(() => expect(manager.heard).toContainEqual({ kind: 'acknowledge', sequence }));
    const after = {
      ...table,
      revision: 9,
      endpoints: [b, endpoint('c', 'in-service')],
      peers: [peer('node2', 2), peer('node3', 9)],
      gateways: [peer('node2', 12)],
    };
    expect(applied.at(-1)).toEqual([after]);
  });
});

describe('the search for a manager', () => {
  it('follows a redirect to the leader', async () => {
    const one = await bench(identities, { started: false });
    const leader = new FakeManager(identities.manager);
    await leader.listen();
    one.manager.leader = leader.address;
    one.start();
    await leader.session();
    expect(one.manager.sessions).toHaveLength(0);
  });

  it('follows a redirect at the end of a session to a leader it has not heard of', async () => {
    const one = await bench(identities);
    const leader = new FakeManager(identities.manager);
    await leader.listen();
    one.manager.say({ kind: 'redirect', leader: leader.address });
    await leader.session();
  });

  it('comes back to managers it was told to have gone when no other is there', async () => {
    const one = await bench(identities);
    one.manager.say({ kind: 'managers', addresses: ['127.0.0.1:1'] });
    await eventually(() => {
      expect(readFileSync(join(one.directory, 'tasks.json'), 'utf8')).toContain('127.0.0.1:1');
    });
    one.manager.say({ kind: 'redirect', leader: '' });
    await one.manager.session(2);
  });

  it('looks for a manager until there is one, among those the leader named', async () => {
    const one = await bench(identities);
    const other = new FakeManager(identities.manager);
    await other.listen();
    one.manager.say({ kind: 'managers', addresses: [one.manager.address, other.address] });
    await eventually(() => {
      expect(readFileSync(join(one.directory, 'tasks.json'), 'utf8')).toContain(other.address);
    });
    one.manager.close();
    await other.session();
  });

  it('registers anew with a renewed certificate', async () => {
    const { manager, credentials } = await bench(identities);
    credentials.replace({ ...identities.worker });
    await manager.session(2);
    expect(manager.heard.filter(({ kind }) => kind === 'register')).toHaveLength(2);
  });
});

describe('silence', () => {
  it("of the manager is not what was this program's own standstill", async () => {
    const { manager } = await bench(identities);
    const heartbeats = (): number =>
      manager.heard.filter(({ kind }) => kind === 'heartbeat').length;
    await eventually(() => expect(heartbeats()).toBeGreaterThan(1));
    const until = performance.now() + STALL_MS;
    while (performance.now() < until);
    const before = heartbeats();
    await eventually(() => expect(heartbeats()).toBeGreaterThan(before + 1));
    expect(manager.sessions).toHaveLength(1);
  });

  it('of the leader makes the agent ask the others, and go to the one they name', async () => {
    const one = await bench(identities);
    const [other, next] = [
      new FakeManager(identities.manager),
      new FakeManager(identities.manager),
    ];
    await Promise.all([other.listen(), next.listen()]);
    other.leader = next.address;
    one.manager.say({ kind: 'managers', addresses: [one.manager.address, other.address] });
    await eventually(() => {
      expect(readFileSync(join(one.directory, 'tasks.json'), 'utf8')).toContain(other.address);
    });
    const [first] = one.manager.sessions;
    if (first) first.send = (): boolean => true;
    await next.session();
    expect(other.heard).toEqual([{ kind: 'find-leader' }]);
  });

  it('of a leader that the others still name is borne for three heartbeats', async () => {
    const one = await bench(identities, { started: false });
    // Time for a connection on a busy machine.
    one.manager.heartbeatMs = 1_500;
    one.start();
    await one.manager.session();
    const other = new FakeManager(identities.manager);
    await other.listen();
    other.leader = one.manager.address;
    one.manager.say({ kind: 'managers', addresses: [one.manager.address, other.address] });
    await eventually(() => {
      expect(readFileSync(join(one.directory, 'tasks.json'), 'utf8')).toContain(other.address);
    });
    const [first] = one.manager.sessions;
    const send = first?.send;
    if (!first || !send) throw new Error('no session');
    first.send = (message): boolean => other.heard.length === 0 || send(message);
    await eventually(() => expect(other.heard).toEqual([{ kind: 'find-leader' }]));
    // At once: the agent's next heartbeat may come at the very end of its patience.
    send({ kind: 'alive' });
    const heard = one.manager.heard.length;
    await eventually(() => expect(one.manager.heard.length).toBeGreaterThan(heard + 2));
    expect(one.manager.sessions).toHaveLength(1);
  });

  it('gives a manager up that says nothing any more', async () => {
    const { manager } = await bench(identities);
    const [first] = manager.sessions;
    if (first) first.send = (): boolean => true;
    await manager.session(2);
  });
});

describe('acknowledgement', () => {
  it('does not acknowledge tables that the kernel refused until it takes them', async () => {
    const one = await bench(identities);
    one.breakNetwork(true);
    one.manager.assign({ networks: [table] }, true);
    const later = one.manager.assign({});
    const beats = one.manager.heard.length;
    await eventually(() => expect(one.manager.heard.length).toBeGreaterThan(beats + 3));
    expect(one.manager.heard.some(({ kind }) => kind === 'acknowledge')).toBe(false);
    one.breakNetwork(false);
    await eventually(() => {
      expect(one.manager.heard).toContainEqual({ kind: 'acknowledge', sequence: later });
    });
  });

  it('is asked what the kernel holds of a network, and answers under the same number', async () => {
    const { manager } = await bench(identities);
    manager.say({ kind: 'check-network', number: 5, networkId: NET });
    manager.say({ kind: 'check-network', number: 6, networkId: 'nowhere' as typeof NET });
    await eventually(() =>
      expect(manager.heard).toEqual(
        expect.arrayContaining([
          { kind: 'network-checked', number: 5, check: CHECKED },
          { kind: 'network-checked', number: 6, check: undefined },
        ]),
      ),
    );
  });

  it('does not acknowledge tables while flows to what left them go on', async () => {
    const one = await bench(identities);
    let forgotten = (): void => undefined;
    one.forgetFlowsWith(
      new Promise((resolve) => {
        forgotten = resolve;
      }),
    );
    const sequence = one.manager.assign({ networks: [table] }, true);
    await eventually(() => expect(one.applied.length).toBeGreaterThan(0));
    const beats = one.manager.heard.length;
    await eventually(() => expect(one.manager.heard.length).toBeGreaterThan(beats + 3));
    expect(one.manager.heard.some(({ kind }) => kind === 'acknowledge')).toBe(false);
    forgotten();
    await eventually(() =>
      expect(one.manager.heard).toContainEqual({ kind: 'acknowledge', sequence }),
    );
  });
});

describe('description', () => {
  it('that changes is told at once, or when the session that was beginning has begun', async () => {
    const { manager, start } = await bench(identities, { started: false });
    const worker = start();
    worker.describe();
    await manager.session();
    const told = (): number => manager.heard.filter(({ kind }) => kind === 'describe').length;
    await eventually(() => expect(told()).toBe(1));
    worker.describe();
    await eventually(() => expect(told()).toBe(2));
    expect(manager.heard).toContainEqual({ kind: 'describe', description: DESCRIPTION });
  });
});

import { describe, expect, it } from 'vitest';
import {
  type AppliedChange,
  type Change,
  createObject,
  deriveNetworkTable,
  type Network,
  type NetworkEndpoint,
  type NetworkTable,
  type Node,
  type NodeId,
  removeObject,
  type Service,
  Tables,
  type Task,
  type TaskId,
  type TaskState,
  updateObject,
  VERSION_NONE,
  type Version,
} from '../model/index.ts';
import type { NetworkPatch } from '../rpc/index.ts';
import { AT, NET, SERVICE } from './bench.ts';
import { NetworkTables } from './network-tables.ts';

const NODES = 3;
const BASE = { version: VERSION_NONE, createdAt: AT, updatedAt: AT };
const NETWORK = {
  ...BASE,
  id: NET,
  vni: 5,
  subnets: [{ subnet: '10.0.0.0/24', gateway: '10.0.0.1/24' }],
  spec: { Name: 'net' },
} as unknown as Network;
const WEB = {
  ...BASE,
  id: SERVICE,
  specVersion: 1,
  spec: { Name: 'web', TaskTemplate: { Networks: [{ Target: NET }] } },
  endpoint: { ports: [], virtualIps: [{ networkId: NET, address: '10.0.0.2/24' }] },
} as unknown as Service;

function node(id: string, address = `192.0.2.${id}`): Node {
  return {
    id: id as NodeId,
    ...BASE,
    spec: { Role: 'worker', Availability: 'active' },
    status: { state: 'ready', since: AT, address },
    ingressAddress: `10.0.0.10${id}/24`,
  } as Node;
}

function task(id: number, state: TaskState): Task {
  return {
    id: `t${id}` as TaskId,
    ...BASE,
    serviceId: SERVICE,
    serviceName: 'web',
    specVersion: 1,
    slot: id,
    nodeId: String(1 + (id % NODES)) as NodeId,
    desiredState: 'running',
    status: { state, at: AT, message: '' },
    networks: [{ networkId: NET, addresses: [`10.0.0.${id}/24`], aliases: [] }],
  };
}

/** The manager's tables over a store, and what an agent that is sent only patches makes of them. */
class Pair {
  readonly tables = new Tables();
  readonly derived = new NetworkTables(this.tables);
  readonly agent = new Map<TaskId, NetworkEndpoint>();
  readonly peers = new Map<NodeId, string>();
  readonly gateways = new Map<NodeId, string>();
  #index = 0;
  #content = 0;
  patches = 0;

  constructor(ingress = false) {
    const spec = { ...NETWORK.spec, Ingress: ingress };
    this.apply([createObject('network', { ...NETWORK, spec }), createObject('service', WEB)]);
    for (let id = 1; id <= NODES; id++) this.apply([createObject('node', node(String(id)))]);
    this.derived.refresh(true);
    this.#hear();
  }

  apply(changes: readonly Change[]): void {
    const index = ++this.#index as Version;
    const applied: readonly AppliedChange[] = this.tables.apply(changes, index, AT);
    for (const change of applied) this.derived.note(change);
  }

  /** A task becomes this, or goes. */
  change(number: number, state: TaskState, goes: boolean): void {
    const known = this.tables.get('task', `t${number}` as TaskId);
    const status = { state, at: AT, message: '' };
    if (!known) this.apply([createObject('task', task(number, state))]);
    else if (goes) this.apply([removeObject('task', known)]);
    else this.apply([updateObject('task', { ...known, status })]);
  }

  /** A node comes or moves there, or goes. */
  changeNode(number: number, address: string, goes: boolean): void {
    const known = this.tables.get('node', String(number) as NodeId);
    if (!known) this.apply([createObject('node', node(String(number), address))]);
    else if (goes) this.apply([removeObject('node', known)]);
    else {
      const ingressAddress = `${address.replace('192.0.2', '10.0.1')}/24`;
      const status = { ...known.status, address };
      this.apply([updateObject('node', { ...known, status, ingressAddress })]);
    }
  }

  refresh(): void {
    this.derived.refresh(true);
    this.#hear();
  }

  table(): NetworkTable | undefined {
    return this.derived.of(NET)?.table;
  }

  #hear(): void {
    const known = this.derived.of(NET);
    if (known === undefined || known.content === this.#content) return;
    if (known.from?.content === this.#content) this.#patch(known.from.patch);
    else {
      for (const held of [this.agent, this.peers, this.gateways]) held.clear();
      this.#take(known.table);
    }
    this.#content = known.content;
  }

  #patch(patch: NetworkPatch): void {
    this.patches++;
    this.#take(patch);
    for (const id of patch.removedEndpoints) this.agent.delete(id);
    for (const id of patch.removedPeers) this.peers.delete(id);
    for (const id of patch.removedGateways) this.gateways.delete(id);
  }

  #take({
    endpoints,
    peers,
    gateways,
  }: Pick<NetworkTable, 'endpoints' | 'peers' | 'gateways'>): void {
    for (const endpoint of endpoints) this.agent.set(endpoint.taskId, endpoint);
    for (const { nodeId, address } of peers) this.peers.set(nodeId, address);
    for (const { nodeId, address } of gateways) this.gateways.set(nodeId, address);
  }
}

function byId([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number {
  return left < right ? -1 : 1;
}

function addresses(nodes: NetworkTable['peers'] = []): readonly (readonly [NodeId, string])[] {
  return nodes.map(({ nodeId, address }) => [nodeId, address] as const);
}

/** Without the revision, which says when. */
function said(table: NetworkTable | undefined): object {
  return { ...table, revision: 0 };
}

describe('tables of which only endpoints or nodes changed', () => {
  it.each([false, true])(
    'say what a table derived anew says, and their patches lead there (ingress: %s)',
    (ingress) => {
      const pair = new Pair(ingress);
      const states: readonly TaskState[] = ['pending', 'starting', 'running', 'failed'];
      for (let round = 0; round < 400; round++) {
        // Every number below 16 comes by, in every state, alone and several at once.
        for (let more = 0; more <= round % 3; more++) {
          const state = states[(round + more) % states.length] as TaskState;
          pair.change((round * 7 + more * 5) % 16, state, round % 11 === 0);
        }
        if (round % 5 === 0) {
          pair.changeNode(1 + ((round / 5) % 9), `192.0.2.${round % 50}`, round % 15 === 0);
        }
        pair.refresh();
        const anew = deriveNetworkTable(pair.tables, NET);
        expect(said(pair.table())).toEqual(said(anew));
        const heard = [...pair.agent.values()].toSorted((a, b) => (a.taskId < b.taskId ? -1 : 1));
        expect(heard).toEqual(anew?.endpoints);
        expect([...pair.peers].toSorted(byId)).toEqual(addresses(anew?.peers));
        expect([...pair.gateways].toSorted(byId)).toEqual(addresses(anew?.gateways));
      }
      expect(pair.patches).toBeGreaterThan(200);
    },
  );

  it('cost what changed: no other task is looked at', () => {
    const pair = new Pair();
    pair.apply(Array.from({ length: 50 }, (_, at) => createObject('task', task(at, 'starting'))));
    pair.refresh();
    let walked = 0;
    const walk = pair.tables.tasksOfNetwork.bind(pair.tables);
    pair.tables.tasksOfNetwork = (id): Iterable<Task> => {
      walked++;
      return walk(id);
    };
    const known = pair.tables.get('task', 't7' as TaskId) as Task;
    const status = { state: 'running', at: AT, message: '' } as const;
    pair.apply([updateObject('task', { ...known, status })]);
    pair.refresh();
    expect(pair.agent.get(known.id)?.state).toBe('in-service');
    pair.changeNode(9, '192.0.2.9', false);
    pair.refresh();
    expect(pair.peers.get('9' as NodeId)).toBe('192.0.2.9');
    expect(walked).toBe(0);
  });

  it('know a node whose tasks they know, also where other nodes wait to be told together', () => {
    const pair = new Pair();
    pair.apply([createObject('node', node('9')), createObject('task', task(1, 'running'))]);
    pair.derived.refresh(false);
    const table = pair.table();
    expect(table?.peers.map(({ nodeId }) => nodeId as string)).toContain('9');
    expect(said(table)).toEqual(said(deriveNetworkTable(pair.tables, NET)));
  });
});

import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NetworkTable } from '../model/index.ts';
import type { Kernel, Namespace } from './kernel/kernel.ts';
import { linuxKernel } from './kernel/linux.ts';
import type { HostNetwork, SandboxSpec } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable } from './testing/table.ts';

/** Two clients on one host, three backends of two services on the other. */
let lab: NetworkLab;
let one: HostNetwork;
let two: HostNetwork;
/** Namespaces whose connections were asked for, by the last part of their path. */
let asked: string[];

const WEB = { host: '10.0.1.2', port: 80 } as const;
const WEB6 = { host: 'fd00:1::2', port: 80 } as const;
const OTHER = { host: '10.0.1.3', port: 80 } as const;
const PUBLISHED = { host: '192.168.50.1', port: 5353 } as const;
const TABLE = 'muster-destinations';

const looking: Kernel = {
  ...linuxKernel,
  open: (path = '') => {
    const namespace = linuxKernel.open(path);
    const connections: Namespace['connections'] = namespace.connections.bind(namespace);
    return Object.assign(namespace, {
      connections: (...[wanted]: Parameters<typeof connections>) => {
        asked.push(path.split('/').at(-1) ?? '');
        return connections(wanted);
      },
    });
  },
};

const BACKENDS = [
  { address: '10.0.1.11', address6: 'fd00:1::11', node: 2 },
  { address: '10.0.1.12', address6: 'fd00:1::12', node: 2 },
  { address: '10.0.1.13', address6: 'fd00:1::13', node: 2, service: 'other' },
];

const app = (left: readonly string[] = [], out?: string): NetworkTable =>
  networkTable({
    subnet6: 'fd00:1::/64',
    endpoints: [
      { address: '10.0.1.9', address6: 'fd00:1::9', node: 1, service: 'client' },
      { address: '10.0.1.10', address6: 'fd00:1::10', node: 1, service: 'client' },
      ...BACKENDS.filter(({ address }) => !left.includes(address)).map((backend) => ({
        ...backend,
        out: backend.address === out,
      })),
    ],
    services: [
      { name: 'web', vip: WEB.host, vip6: WEB6.host },
      { name: 'other', vip: OTHER.host },
    ],
  });

const mesh = (out = false): NetworkTable =>
  networkTable({
    name: 'ingress',
    ingress: true,
    subnet: '10.0.0.0/24',
    endpoints: [{ address: '10.0.0.11', node: 2, out }],
    services: [
      {
        name: 'web',
        vip: '10.0.0.2',
        ports: [{ protocol: 'udp', publishMode: 'ingress', publishedPort: 5353, targetPort: 80 }],
      },
    ],
  });

async function tell(table: NetworkTable, ingress = mesh()): Promise<void> {
  asked = [];
  for (const host of [one, two]) host.applyTables([table, ingress]);
  for (const host of [one, two]) await host.flowsForgotten();
}

function sandbox(name: string, number: number): SandboxSpec {
  const [address, address6] = [`10.0.1.${number}/24`, `fd00:1::${number}/64`];
  const inner = { networkId: 'app-id', address, address6 };
  const outer = { networkId: 'ingress-id', address: `10.0.0.${number}/24` };
  const overlays = name === 'c1' ? [inner, outer] : [inner];
  return { containerId: name, netns: lab.namespace(name), name, hostname: name, overlays };
}

/** Noted in a namespace: by UDP, and in all. */
function notes(name: string, family = ''): readonly (readonly string[])[] {
  using namespace = linuxKernel.open(lab.pin(name));
  return ['by-udp', 'all'].map((set) => namespace.setMembers(`${family}${TABLE}`, set));
}

/** The agent of the first host ends, the next goes on. */
async function startAnew(): Promise<void> {
  await one.dispose();
  one = await lab.host('h1', 1, { kernel: looking });
  one.applyTables([app(), mesh()]);
  await one.readopt(new Map(['cl', 'idle'].map((name) => [name, lab.pin(name)])));
}

beforeEach(async () => {
  asked = [];
  lab = new NetworkLab();
  one = await lab.host('h1', 1, { kernel: looking });
  two = await lab.host('h2', 2);
  lab.machine('outside', 100);
  await tell(app());
  for (const [at, name] of ['cl', 'idle'].entries()) await one.attach(sandbox(name, 9 + at));
  for (const [at, name] of ['c1', 'c2', 'c3'].entries()) {
    await two.attach(sandbox(name, 11 + at));
    await lab.serve(name, name, 80);
  }
});

afterEach(async () => {
  await lab.close();
});

test('whom connections through virtual addresses and the mesh were led to is noted where they began', async () => {
  expect(await lab.ask('cl', WEB, 4)).toEqual({ 'c1 10.0.1.9': 2, 'c2 10.0.1.9': 2 });
  expect(await lab.ask('cl', { ...OTHER, udp: true })).toEqual({ 'c3 10.0.1.9': 1 });
  expect(notes('cl')).toEqual([['0a00010d'], ['0a00010b', '0a00010c', '0a00010d']]);
  await lab.ask('cl', WEB6, 2);
  const address6 = (last: string): string => `fd00000100000000000000000000${last}`;
  expect(notes('cl', 'ip6 ')).toEqual([[], [address6('0011'), address6('0012')]]);
  await lab.ask('outside', { ...PUBLISHED, udp: true });
  expect(notes('h1')).toEqual([['0a00000b'], ['0a00000b']]);
  // Nothing was translated there, or it asked a backend itself.
  await lab.ask('idle', { host: '10.0.1.11', port: 80 });
  for (const name of ['idle', 'h2', 'c1']) expect(notes(name)).toEqual([[], []]);
});

test('connections are asked for only where some may have led to who leaves', async () => {
  await lab.ask('cl', WEB, 2);
  await lab.ask('cl', { ...OTHER, udp: true });
  await tell(app([], '10.0.1.11'));
  expect(asked).toEqual([]);
  await tell(app([], '10.0.1.13'));
  expect(asked).toEqual(['cl']);
  await tell(app(['10.0.1.11']));
  expect(asked).toEqual(['cl']);
  expect(notes('cl')).toEqual([['0a00010d'], ['0a00010c', '0a00010d']]);
});

test('a flow that began under an agent before is led elsewhere by the next', async () => {
  const flow = await lab.flow('cl', WEB);
  flow.ask();
  const [old = ''] = (await flow.answer()).split(' ');
  const address = old === 'c1' ? '10.0.1.11' : '10.0.1.12';
  await startAnew();
  await tell(app([], address));
  // Not the namespace of who sent nothing, nor the host's.
  expect(asked).toEqual(['cl']);
  flow.ask();
  expect(await flow.answer()).not.toContain(old);
});

test.each([
  ['that was asked is looked for', true, ['h1']],
  ['that nobody asked is not', false, []],
])('a backend of the mesh %s by the next agent', async (_, isAsked, expected) => {
  if (isAsked) await lab.ask('outside', { ...PUBLISHED, udp: true });
  await startAnew();
  await tell(app(), mesh(true));
  expect(asked).toEqual(expected);
});

test.each([
  ['emptied the notes', `flush set ip ${TABLE} by-udp`],
  ['has tables of its own', 'add table ip foreign'],
])('everybody is asked about where somebody else %s', async (_, command) => {
  const flow = await lab.flow('cl', WEB);
  flow.ask();
  const [old = ''] = (await flow.answer()).split(' ');
  await lab.run('cl', 'nft', command);
  await tell(app([], old === 'c1' ? '10.0.1.11' : '10.0.1.12'));
  flow.ask();
  expect(await flow.answer()).not.toContain(old);
  expect(asked).toEqual(['cl']);
});

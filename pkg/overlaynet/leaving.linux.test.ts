import { afterEach, beforeEach, expect, test } from 'vitest';
import type { TrackedConnection } from 'vxlan-netlink';
import type { NetworkTable } from '../model/index.ts';
import type { Kernel, Namespace } from './kernel/kernel.ts';
import { linuxKernel } from './kernel/linux.ts';
import type { HostNetwork, SandboxSpec } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable } from './testing/table.ts';

/** A client on one host, two backends on the other; what happens between the looks of the first at its flows. */
let lab: NetworkLab;
let hosts: readonly HostNetwork[];
/** Called when the host has found that a flow may go, before it is forgotten. */
let onFound: () => void;

const VIP = '10.0.1.2';
const VIP6 = 'fd00:1::2';
const ENTRY = '192.168.50.1';
const ENTRY6 = 'fd00:50::1';

/** A kernel whose namespaces stop between looking and forgetting. */
const stopping: Kernel = {
  ...linuxKernel,
  open: (path) => {
    const namespace = linuxKernel.open(path);
    const forget: Namespace['forgetConnection'] = namespace.forgetConnection.bind(namespace);
    return Object.assign(namespace, {
      forgetConnection: (...[tracked, keep]: Parameters<typeof forget>): boolean =>
        forget(tracked, (now) => {
          const kept = keep(now);
          if (!kept) onFound();
          return kept;
        }),
    });
  },
};

const ports = [
  { protocol: 'udp', publishMode: 'ingress', publishedPort: 5353, targetPort: 80 },
] as const;

const app = (out?: string): NetworkTable =>
  networkTable({
    subnet6: 'fd00:1::/64',
    endpoints: [
      { address: '10.0.1.10', address6: 'fd00:1::10', node: 1, service: 'client' },
      { address: '10.0.1.11', address6: 'fd00:1::11', node: 2, out: out === 'c1' },
      { address: '10.0.1.12', address6: 'fd00:1::12', node: 2, out: out === 'c2' },
    ],
    services: [{ name: 'web', vip: VIP, vip6: VIP6 }],
  });

const mesh = (out?: string): NetworkTable =>
  networkTable({
    name: 'ingress',
    ingress: true,
    subnet: '10.0.0.0/24',
    subnet6: 'fd00:77::/64',
    endpoints: [
      { address: '10.0.0.11', address6: 'fd00:77::11', node: 2, out: out === 'c1' },
      { address: '10.0.0.12', address6: 'fd00:77::12', node: 2, out: out === 'c2' },
    ],
    services: [{ name: 'web', vip: '10.0.0.2', ports }],
  });

const tell = (out?: string): void => {
  for (const host of hosts) host.applyTables([app(out), mesh(out)]);
};

function sandbox(name: string, number: number): SandboxSpec {
  const own = { networkId: 'app-id', address: `10.0.1.${number}/24` };
  const inner = { ...own, address6: `fd00:1::${number}/64` };
  const outer = {
    networkId: 'ingress-id',
    address: `10.0.0.${number}/24`,
    address6: `fd00:77::${number}/64`,
  };
  const overlays = name === 'cl' ? [inner] : [inner, outer];
  return { containerId: name, netns: lab.namespace(name), name, hostname: name, overlays };
}

/** Tables of the kernel that are there only while flows leave. */
function leftovers(): readonly string[] {
  return ['cl', 'h1'].flatMap((name) => {
    using namespace = linuxKernel.open(lab.pin(name));
    return namespace.tables().filter((table) => table.includes('leaving'));
  });
}

beforeEach(async () => {
  onFound = (): void => undefined;
  lab = new NetworkLab();
  const [one, two] = [
    await lab.host('h1', 1, { kernel: stopping }),
    await lab.host('h2', 2, { kernel: stopping }),
  ];
  hosts = [one, two];
  lab.machine('outside', 100);
  tell();
  await one.attach(sandbox('cl', 10));
  for (const [name, number] of [
    ['c1', 11],
    ['c2', 12],
  ] as const) {
    await two.attach(sandbox(name, number));
    await lab.serve(name, name, 80);
  }
});

afterEach(async () => {
  await lab.close();
});

test.each([
  ['a virtual address', 'cl', VIP, 80],
  ['a virtual address of IPv6', 'cl', VIP6, 80],
  ['a published port, from outside', 'outside', ENTRY, 5353],
  ['a published port, from the entry itself', 'h1', ENTRY, 5353],
  ['a published port of IPv6, from outside', 'outside', ENTRY6, 5353],
  ['a published port of IPv6, from the entry itself', 'h1', ENTRY6, 5353],
])('a question between the last look at a flow and its end is answered: %s', async (_, ...at) => {
  const [client, host, port] = at;
  const flow = await lab.flow(client, { host, port });
  flow.ask();
  const [old = ''] = (await flow.answer()).split(' ');
  let asked = 0;
  onFound = (): void => {
    if (asked++ === 0) flow.ask();
  };
  tell(old);
  // The server is in this process: it answers when the flow is forgotten already.
  const [chosen] = (await flow.answer()).split(' ');
  expect([old, chosen].toSorted()).toEqual(['c1', 'c2']);
  for (const one of hosts) await one.flowsForgotten();
  expect(asked).toBeGreaterThan(0);
  expect(leftovers()).toEqual([]);
  flow.ask();
  expect(await flow.answer()).toContain(chosen);
});

test('a flow that was chosen while another left is forgotten in its turn', async () => {
  const flow = await lab.flow('cl', { host: VIP, port: 80 });
  flow.ask();
  const [old = ''] = (await flow.answer()).split(' ');
  let asked = 0;
  onFound = (): void => {
    if (asked++ === 0) flow.ask();
  };
  tell(old);
  const [chosen = ''] = (await flow.answer()).split(' ');
  for (const one of hosts) await one.flowsForgotten();
  tell(chosen);
  for (const one of hosts) await one.flowsForgotten();
  using client = linuxKernel.open(lab.pin('cl'));
  const toVip = ({ connection }: TrackedConnection): boolean =>
    connection.originalDestination === VIP;
  expect(client.connections().filter(toVip)).toEqual([]);
  flow.ask();
  expect(await flow.answer()).toContain(old);
});

test('an answer that comes while its flow leaves finds the client, whatever was asked meanwhile', async () => {
  const flow = await lab.flow('cl', { host: VIP, port: 80 });
  flow.ask();
  const [old = ''] = (await flow.answer()).split(' ');
  const [, fresh] = old === 'c1' ? ['c1', 'c2'] : ['c2', 'c1'];
  // Nobody of this process answers before this turn of its event loop is over.
  flow.ask();
  tell(old);
  expect(await flow.answer()).toContain(old);
  for (const one of hosts) await one.flowsForgotten();
  flow.ask();
  expect(await flow.answer()).toContain(fresh);
});

test('a flow to the own address of a backend goes on', async () => {
  const flow = await lab.flow('cl', { host: '10.0.1.11', port: 80 });
  flow.ask();
  expect(await flow.answer()).toContain('c1');
  let found = 0;
  onFound = (): void => {
    found++;
  };
  tell('c1');
  await hosts[0]?.flowsForgotten();
  expect(found).toBe(0);
  flow.ask();
  expect(await flow.answer()).toContain('c1');
});

test('an agent that starts again takes away what one before left half done', async () => {
  const table = 'muster-leaving';
  for (const name of ['cl', 'h1']) {
    using namespace = linuxKernel.open(lab.pin(name));
    namespace.commit([{ do: 'add-table', table }]);
  }
  expect(leftovers()).toEqual([table, table]);
  await hosts[0]?.dispose();
  const again = await lab.host('h1', 1);
  again.applyTables([app(), mesh()]);
  await again.readopt(new Map([['cl', lab.pin('cl')]]));
  expect(leftovers()).toEqual([]);
});

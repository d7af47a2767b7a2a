import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Change, Namespace, Watch } from './kernel.ts';
import { linuxKernel } from './linux.ts';

const NAMES = ['host', 'hub', 'container'] as const;
type Name = (typeof NAMES)[number];

let folder: string;
let namespaces: Readonly<Record<Name, Namespace>>;
let watch: Watch;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'watch-'));
  const open = (name: Name): Namespace => {
    linuxKernel.createNamespace(join(folder, name));
    return linuxKernel.open(join(folder, name));
  };
  namespaces = { host: open('host'), hub: open('hub'), container: open('container') };
  watch = linuxKernel.watch(namespaces.host);
  watch.add(namespaces.hub);
  watch.add(namespaces.container);
  namespaces.hub.apply([{ do: 'add-link', link: { kind: 'bridge', name: 'br0' } }]);
});

afterEach(() => {
  watch[Symbol.dispose]();
  for (const name of NAMES) {
    namespaces[name][Symbol.dispose]();
    linuxKernel.removeNamespace(join(folder, name));
  }
  rmSync(folder, { recursive: true });
});

function run(name: Name, program: string, ...words: readonly string[]): void {
  execFileSync('nsenter', [`--net=${join(folder, name)}`, program, ...words]);
}

function changes(): Readonly<Partial<Record<Name, readonly Change[]>>> {
  const taken = watch.takeChanges();
  return Object.fromEntries(
    NAMES.flatMap((name) => {
      const some = taken.get(namespaces[name]);
      return some ? [[name, [...some].toSorted()]] : [];
    }),
  );
}

test('what we change is not told', () => {
  const { hub, container } = namespaces;
  hub.apply([
    {
      do: 'add-link',
      link: { kind: 'veth', name: 'v-1', peer: { name: 'eth0', namespace: container } },
    },
    { do: 'change-link', name: 'v-1', master: 'br0' },
    { do: 'put-fdb', entry: { link: 'v-1', mac: '02:00:00:00:00:01' } },
  ]);
  container.apply([{ do: 'add-address', address: { link: 'eth0', address: '192.0.2.1/24' } }]);
  container.commit([{ do: 'add-table', table: 'muster-net-x' }]);
  expect(changes()).toEqual({});
});

test('a link that we take away is not told, what others do meanwhile is', async () => {
  const { hub, container } = namespaces;
  watch.remove(container);
  hub.apply([
    { do: 'change-link', name: 'br0', mac: '02:00:00:00:00:09' },
    {
      do: 'add-link',
      link: { kind: 'veth', name: 'v-1', peer: { name: 'eth0', namespace: container } },
    },
    { do: 'change-link', name: 'v-1', master: 'br0', up: true },
    { do: 'put-fdb', entry: { link: 'v-1', mac: '02:00:00:00:00:01' } },
    {
      do: 'add-link',
      link: { kind: 'veth', name: 'v-2', peer: { name: 'eth1', namespace: container } },
    },
  ]);
  const first = hub.removeLinks(['v-1']);
  const second = hub.removeLinks(['v-2']);
  await first;
  expect(changes()).toEqual({});
  run('hub', 'ip', 'rule', 'add', 'fwmark', '7', 'table', '7');
  await second;
  expect(changes()).toEqual({ hub: ['links'] });
  expect(changes()).toEqual({});
});

test('what others change is told of its namespace, also when we change something right after it', () => {
  run('hub', 'ip', 'link', 'set', 'br0', 'mtu', '1400');
  run('hub', 'bridge', 'fdb', 'add', '02:00:00:00:00:07', 'dev', 'br0', 'self', 'local');
  run('container', 'nft', 'add', 'table', 'ip', 'muster-net-x');
  run('host', 'ip', 'rule', 'add', 'fwmark', '7', 'table', '7');
  namespaces.container.commit([{ do: 'add-table', table: 'muster-net-y' }]);
  expect(changes()).toEqual({ hub: ['entries', 'links'], container: ['tables'], host: ['links'] });
  expect(changes()).toEqual({});
});

test('tables and routes that cannot be ours, and namespaces that were removed, are none of our business', () => {
  run('container', 'nft', 'add', 'table', 'ip', 'of-the-container');
  run('container', 'ip', 'link', 'set', 'lo', 'up');
  changes();
  run('container', 'ip', 'route', 'add', '198.51.100.0/24', 'dev', 'lo', 'proto', 'bgp');
  expect(changes()).toEqual({});
  watch.remove(namespaces.hub);
  run('hub', 'ip', 'link', 'del', 'br0');
  expect(changes()).toEqual({});
});

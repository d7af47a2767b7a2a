import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestDriver } from '../storage/test-driver.ts';
import { eventually, type TaskJson, TestCluster } from './cluster.ts';

interface VolumeJson {
  readonly Status?: Readonly<Record<string, { readonly Error: string }>>;
  readonly ClusterVolume: {
    readonly ID: string;
    readonly Info?: { readonly VolumeID: string; readonly CapacityBytes: number };
    readonly PublishStatus?: readonly { readonly NodeID: string; readonly State: string }[];
    readonly Spec: { readonly Availability: string };
  };
}

const HOSTS = ['h1', 'h2', 'h3'];
let cluster: TestCluster;
let driver: TestDriver;
let folder: string;

beforeAll(async () => {
  cluster = await TestCluster.start('volumes', { managers: 3, agents: 0 });
  folder = mkdtempSync(join(tmpdir(), 'muster-csi-'));
  driver = new TestDriver(folder, { mounts: true });
  for (const name of HOSTS) {
    const directory = join(cluster.host(name).dataDir, 'csi');
    mkdirSync(directory, { recursive: true });
    const zone = name === 'h3' ? 'b' : 'a';
    await driver.serve(join(directory, 'disk.sock'), { nodeId: name, topology: { zone } });
  }
  await eventually('every node to have the driver', async () => {
    const nodes = await cluster.api<{ Description: { CSIInfo?: object[] } }[]>(
      'h1',
      'GET',
      '/nodes',
    );
    return nodes.every(({ Description }) => Description.CSIInfo?.length === 1);
  });
});

afterAll(async () => {
  const left = (await cluster?.stop()) ?? [];
  driver.close();
  rmSync(folder, { recursive: true, force: true });
  expect(left).toEqual([]);
});

const inspect = async (name: string, host = 'h1'): Promise<VolumeJson> => {
  const [volume] = JSON.parse(
    await cluster.docker(host, 'volume', 'inspect', name),
  ) as VolumeJson[];
  if (!volume) throw new Error(`no volume ${name}`);
  return volume;
};

async function createVolume(name: string, ...more: readonly string[]): Promise<void> {
  const kind = ['--driver', 'disk', '--type', 'mount'];
  await cluster.docker('h1', 'volume', 'create', ...kind, ...more, name);
  await eventually(`volume ${name} to be made`, async () => {
    return (await inspect(name)).ClusterVolume.Info !== undefined;
  });
}

async function createService(
  name: string,
  mount: string,
  ...more: readonly string[]
): Promise<void> {
  const command = 'hostname >> /data/hosts; trap "exit 0" TERM; while :; do sleep 1; done';
  const mounts = ['--mount', `type=cluster,dst=/data,${mount}`];
  const image = ['muster/web:1', 'sh', '-c', command];
  const args = ['service', 'create', '-d', '--no-resolve-image', '--name', name, ...mounts];
  await cluster.docker('h1', ...args, '--stop-grace-period', '1s', ...more, ...image);
}

const on = (host: string): string => `node.hostname==${host}`;
const file = (volume: string): string =>
  readFileSync(join(driver.directory(volume), 'hosts'), 'utf8');

async function gone(name: string): Promise<void> {
  await cluster.docker('h1', 'service', 'rm', name);
}

async function removed(...volumes: readonly string[]): Promise<void> {
  for (const name of volumes) {
    await eventually(`volume ${name} to be free and removed`, async () => {
      return (await cluster.tryDocker('h1', 'volume', 'rm', name)).code === 0;
    });
  }
  await eventually(`volumes ${volumes.join()} to be gone`, async () => {
    const left = (await cluster.docker('h1', 'volume', 'ls', '-q')).split('\n');
    return volumes.every((name) => !left.includes(name) && !existsSync(driver.directory(name)));
  });
}

test('a volume follows its task from node to node, though the leader is killed on the way', async () => {
  await createVolume('data', '--scope', 'single', '--sharing', 'none', '--required-bytes', '1MiB');
  const made = await inspect('data');
  expect(made.ClusterVolume.Info).toMatchObject({ VolumeID: 'vol-data', CapacityBytes: 1048576 });
  const listed = await cluster.docker('h2', 'volume', 'ls', '--format', '{{.Name}} {{.Driver}}');
  expect(listed.trim()).toBe('data disk');

  await createService('db', 'src=data', '--constraint', on('h2'));
  await cluster.waitRunning('db', 1);
  await eventually('what the task wrote', async () => file('data') !== '');
  const inUse = await cluster.tryDocker('h1', 'volume', 'rm', 'data');
  expect(inUse.err).toContain('volume is still in use');

  const release = driver.hold('ControllerUnpublishVolume');
  const move = ['--constraint-rm', on('h2'), '--constraint-add', on('h3')];
  await cluster.docker('h1', 'service', 'update', '-d', '-q', ...move, 'db');
  const survivorOf = (leader: string): string => HOSTS.find((name) => name !== leader) ?? '';
  const leader = await cluster.leader('h1');
  const ask = survivorOf(leader);
  await eventually('the volume to have left h2', async () => {
    const [one] = (await inspect('data', ask)).ClusterVolume.PublishStatus ?? [];
    return one?.State === 'pending-controller-unpublish';
  });
  const newNode = (await cluster.nodes(ask)).find((one) => one.Description.Hostname === 'h3')?.ID;
  let why = '';
  await eventually('a task that waits on h3', async () => {
    const tasks = await cluster.api<TaskJson[]>(ask, 'GET', '/tasks');
    const waiting = tasks.find(({ NodeID }) => NodeID === newNode)?.ID ?? '';
    if (waiting !== '') why = await cluster.ctl(ask, 'explain', 'task', waiting);
    return why !== '';
  });
  expect(why).toContain('waits for volume data (/data): not published: it leaves node h2 first');
  await cluster.host(leader).kill('manager');
  release();
  await cluster.waitRunning('db', 1, ask);
  expect(driver.calls).toEqual([
    'CreateVolume data',
    'ControllerPublishVolume data h2',
    'NodeStageVolume data h2',
    'NodePublishVolume data h2',
    'NodeUnpublishVolume data h2',
    'NodeUnstageVolume data h2',
    'ControllerUnpublishVolume data h2',
    'ControllerPublishVolume data h3',
    'NodeStageVolume data h3',
    'NodePublishVolume data h3',
  ]);
  expect(driver.violations).toEqual([]);
  await eventually(
    'what both tasks wrote',
    async () => file('data').trim().split('\n').length === 2,
  );

  await eventually('a quorum to take writes', async () => {
    return (await cluster.tryDocker('h1', 'service', 'rm', 'db')).code === 0;
  });
  await removed('data');
  expect(driver.violations).toEqual([]);
});

test('an agent that is killed finds its volumes again, and a task goes on writing', async () => {
  await createVolume('kept');
  await createService('keeper', 'src=kept', '--constraint', on('h2'));
  await cluster.waitRunning('keeper', 1);
  await cluster.host('h2').kill('agent');
  await cluster.host('h2').start();
  const since = file('kept');
  // On a busy machine the node may have been given up for a moment: then it is another task.
  await eventually('a task that reaches the volume', async () => {
    const [task] = await cluster.running('keeper');
    if (task) await cluster.execIn(task, 'echo again >> /data/hosts');
    return file('kept') !== since;
  });
  await gone('keeper');
  await removed('kept');
  expect(driver.violations).toEqual([]);
});

test('groups, sharing, topology and availability decide who gets which volume', async () => {
  const zoneA = ['--topology-required', 'zone=a'];
  await createVolume('a1', '--group', 'pool', ...zoneA);
  await createVolume('a2', '--group', 'pool', ...zoneA);
  await createService('pooled', 'src=group:pool', '--replicas', '3');
  const two = await cluster.waitRunning('pooled', 2);
  for (const task of two) expect(await cluster.hostOf(task)).not.toBe('h3');
  const waits = await cluster.docker(
    'h1',
    'service',
    'ps',
    '--no-trunc',
    '--format',
    '{{.Error}}',
    'pooled',
  );
  expect(waits).toContain('cannot fulfill requested CSI volume mounts on 3 nodes');
  const explained = await cluster.ctl('h1', 'explain', 'service', 'pooled');
  expect(explained).toMatch(/would help: stop pooled\.\d\.\w+, which uses volume a[12]/);

  await cluster.docker('h1', 'volume', 'update', '--availability', 'drain', 'a1');
  await eventually('the drained volume to be free', async () => {
    const { ClusterVolume } = await inspect('a1');
    return ClusterVolume.PublishStatus === undefined && ClusterVolume.Spec.Availability === 'drain';
  });
  await cluster.waitRunning('pooled', 1);
  await cluster.docker('h1', 'volume', 'update', '--availability', 'active', 'a1');
  await cluster.waitRunning('pooled', 2);
  await gone('pooled');
  await removed('a1', 'a2');

  await createVolume('shared', '--scope', 'multi', '--sharing', 'all');
  await createService('readers', 'src=shared', '--mode', 'global');
  await cluster.waitRunning('readers', 3);
  await cluster.docker('h1', 'volume', 'update', '--availability', 'pause', 'shared');
  await cluster.waitRunning('readers', 3);
  await gone('readers');
  await removed('shared');
  expect(driver.violations).toEqual([]);
});

test('what a driver refuses is said, and tried again', async () => {
  driver.failNext('CreateVolume', 1);
  await createVolume('late');
  const refused = ['--driver', 'disk', '--type', 'mount', '--opt', 'refuse=no room left'];
  await cluster.docker('h1', 'volume', 'create', ...refused, 'never');
  await eventually('the reason', async () => {
    const text = (await inspect('never')).Status?.['create']?.Error ?? '';
    return text === 'CSI driver disk: CreateVolume: no room left (INVALID_ARGUMENT)';
  });
  driver.failNext('NodeStageVolume', 2);
  await createService('slow', 'src=late', '--constraint', on('h3'));
  await cluster.waitRunning('slow', 1);
  expect((await inspect('late')).Status).toBeUndefined();
  await gone('slow');
  await removed('late', 'never');
  const missing = await cluster.tryDocker('h1', 'volume', 'inspect', 'never');
  expect(missing.err).toContain('no such volume');
  await cluster.docker('h1', 'volume', 'create', 'here');
  expect(await cluster.docker('h2', 'volume', 'ls', '-q')).toBe('');
  await cluster.docker('h1', 'volume', 'rm', 'here');
});

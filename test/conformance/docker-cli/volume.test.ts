import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Change, updateObject, type Volume } from '../../../pkg/model/index.ts';
import { ask } from '../docker-api/http.ts';
import { type Setup, setUp } from './setup.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await setUp();
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
});

const CREATE = ['volume', 'create', '--driver', 'disk', '--type', 'mount'];
const LOCAL = ['volume', 'ls', '--format', '{{.Name}} {{.Driver}} {{.Scope}}'];

/** What the client says when it fails. */
async function fails(args: readonly string[]): Promise<string> {
  const { exitCode, stderr } = await setup.docker.try(args);
  expect(exitCode).not.toBe(0);
  return stderr;
}

/** What a driver's controller would write. */
function made(name: string): void {
  const volume = setup.cluster.inner.tables.byName('volume', name);
  if (!volume) throw new Error(`no volume ${name}`);
  const info: Volume['info'] = {
    handle: 'h',
    capacityBytes: 1024,
    context: { a: 'b' },
    topology: [],
  };
  const change: Change = updateObject('volume', { ...volume, info });
  setup.cluster.inner.apply([change]);
}

test('cluster volumes are made with every option of the client and listed beside those of the host', async () => {
  const { docker } = setup;
  const options = [
    ['--scope', 'multi', '--sharing', 'onewriter', '--availability', 'pause', '--group', 'pool'],
    ['--required-bytes', '10M', '--limit-bytes', '20M', '--topology-required', 'zone=a'],
    [
      '--topology-preferred',
      'zone=a',
      '--opt',
      'kind=fast',
      '--label',
      'a=b',
      '--secret',
      'token=key',
    ],
  ].flat();
  const missing = await fails([...CREATE, ...options, 'data']);
  expect(missing).toContain('secret not found: key');
  await ask(setup.socketPath, '/secrets/create', { body: { Name: 'key', Data: 'eA==' } });
  expect(await docker.run([...CREATE, ...options, 'data'])).toBe('data');
  await docker.run(['volume', 'create', 'here']);
  const list = (await docker.run(LOCAL)).split('\n');
  expect(list.toSorted()).toEqual(['data disk global', 'here local local']);
  made('data');
  const [volume] = JSON.parse(await docker.run(['volume', 'inspect', 'data']));
  expect(volume).toMatchObject({
    Driver: 'disk',
    Labels: { a: 'b' },
    Options: { kind: 'fast' },
    Scope: 'global',
    ClusterVolume: {
      Info: { CapacityBytes: 1024, VolumeContext: { a: 'b' }, VolumeID: 'h' },
      Spec: {
        Group: 'pool',
        AccessMode: { Scope: 'multi', Sharing: 'onewriter', MountVolume: {} },
        AccessibilityRequirements: {
          Requisite: [{ Segments: { zone: 'a' } }],
          Preferred: [{ Segments: { zone: 'a' } }],
        },
        CapacityRange: { RequiredBytes: 10 * 1024 * 1024, LimitBytes: 20 * 1024 * 1024 },
        Secrets: [{ Key: 'token', Secret: 'key' }],
        Availability: 'pause',
      },
    },
  });
  const { status, json } = await ask(setup.socketPath, `/volumes/${volume.ClusterVolume.ID}`);
  expect([status, (json as { Name: string }).Name]).toEqual([200, 'data']);
  const table = await docker.run(['volume', 'ls', '--cluster']);
  expect(table).toMatch(/data\s+pool\s+disk\s+pause\s+created/);
});

test('only the availability of a cluster volume can be updated', async () => {
  const { docker } = setup;
  await docker.run(['volume', 'update', '--availability', 'active', 'data']);
  const format = ['--format', '{{.ClusterVolume.Spec.Availability}}'];
  expect(await docker.run(['volume', 'inspect', 'data', ...format])).toBe('active');
  const { json } = await ask(setup.socketPath, '/volumes/data');
  const { Version, Spec } = (
    json as { ClusterVolume: { Version: { Index: number }; Spec: object } }
  ).ClusterVolume;
  const put = (body: object, version: number): ReturnType<typeof ask> =>
    ask(setup.socketPath, `/volumes/data?version=${version}`, { method: 'PUT', body });
  const changed = await put({ Spec: { ...Spec, Group: 'other' } }, Version.Index);
  expect(changed.json).toMatchObject({
    message: expect.stringContaining('Group cannot be updated'),
  });
  const late = await put({ Spec }, Version.Index - 1);
  expect(late.json).toMatchObject({ message: expect.stringContaining('update out of sequence') });
  expect(await fails(['secret', 'rm', 'key'])).toContain('is in use by the following volume: data');
});

test('what cannot be a cluster volume is refused with the reason', async () => {
  const { docker } = setup;
  const refused = async (body: object): Promise<string> => {
    const { json } = await ask(setup.socketPath, '/volumes/create', { body });
    return (json as { message: string }).message;
  };
  const mode = { MountVolume: {} };
  const asked = { Name: 'x', Driver: 'disk', ClusterVolumeSpec: { AccessMode: mode } };
  expect(await refused({ ...asked, Driver: 'local' })).toContain(
    'name the CSI driver that shall make it',
  );
  expect(await refused({ ...asked, Driver: '../x' })).toContain(
    'volume driver "../x" is not a valid name',
  );
  expect(await refused({ ...asked, ClusterVolumeSpec: {} })).toContain(
    'AccessMode must not be nil',
  );
  expect(await refused({ ...asked, ClusterVolumeSpec: { AccessMode: {} } })).toContain(
    'Volume AccessMode must specify either Mount or Block access type',
  );
  const wide = { AccessMode: { ...mode, Scope: 'all' } };
  expect(await refused({ ...asked, ClusterVolumeSpec: wide })).toContain(
    'volume scope "all" is unknown',
  );
  const range = { AccessMode: mode, CapacityRange: { RequiredBytes: 2, LimitBytes: 1 } };
  expect(await refused({ ...asked, ClusterVolumeSpec: range })).toContain(
    'less than the required 2',
  );
  expect(await fails([...CREATE, 'data'])).toContain('volume data already exists');
  setup.become('worker');
  expect(await fails([...CREATE, 'other'])).toContain('This node is not a swarm manager');
  expect(await docker.run(LOCAL)).toBe('here local local');
  setup.become('manager');
});

test('a service that mounts a volume of the cluster keeps it from being removed', async () => {
  const { docker, cluster } = setup;
  for (const { id } of [...cluster.inner.tables.list('node')]) {
    const csi = [{ name: 'disk', nodeId: id }];
    cluster.inner.setNode(id, (node) => ({
      ...node,
      description: node.description && { ...node.description, csi },
    }));
  }
  const mount = ['--mount', 'type=cluster,src=group:pool,dst=/data'];
  const create = ['service', 'create', '-d', '-q', '--no-resolve-image'];
  await docker.run([...create, '--name', 'web', ...mount, 'busybox']);
  const tasks = async (): Promise<unknown> => (await ask(setup.socketPath, '/tasks')).json;
  const Volumes = [{ Source: 'group:pool', Target: '/data' }];
  await expect.poll(tasks).toMatchObject([{ Volumes }]);
  expect(await fails(['volume', 'rm', 'data'])).toContain('volume is still in use');
  await docker.run(['volume', 'rm', '-f', 'data']);
  await docker.run(['service', 'rm', 'web']);
  await docker.run(['volume', 'rm', 'here']);
  expect(await docker.run(LOCAL)).toBe('');
  expect(await fails(['volume', 'rm', 'data'])).toContain('no such volume');
});

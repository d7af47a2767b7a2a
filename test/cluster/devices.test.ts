import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, type TaskJson, TestCluster } from './cluster.ts';

let cluster: TestCluster;
const folder = mkdtempSync(join(tmpdir(), 'muster-devices-'));
const FILES = ['a', 'b', 'c'].map((name) => join(folder, name));
const [A = '', B = '', C = ''] = FILES;

interface Held {
  readonly AssignedGenericResources?: readonly {
    readonly NamedResourceSpec?: { readonly Kind: string; readonly Value: string };
  }[];
}

beforeAll(async () => {
  // Writing to the kernel's log: a device that no container has by itself.
  for (const file of FILES) execFileSync('mknod', [file, 'c', '1', '11']);
  cluster = await TestCluster.start('devices', { managers: 1, agents: 1 });
  await restart('h2', `gpu=${A}`, `gpu=second=${B}`);
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

const docker = (...args: readonly string[]): Promise<string> => cluster.docker('h1', ...args);

/** The agent anew, offering these; its tasks go on. */
async function restart(name: string, ...devices: readonly string[]): Promise<void> {
  await cluster.host(name).stop();
  await cluster.host(name).start(devices.flatMap((device) => ['--device', device]));
  await eventually(
    `${name} to offer its devices`,
    async () => (await offers(name)).split('/').length === devices.length,
  );
}

/** As the stock client shows it. */
async function offers(name: string): Promise<string> {
  const form =
    '{{range .Description.Resources.GenericResources}}{{.NamedResourceSpec.Kind}}={{.NamedResourceSpec.Value}}/{{end}}';
  return (await docker('node', 'inspect', '--format', form, name)).trim().slice(0, -1);
}

function namesOf(task: TaskJson | undefined): readonly string[] {
  const held = (task as Held | undefined)?.AssignedGenericResources ?? [];
  return held.map(({ NamedResourceSpec: one }) => `${one?.Kind}=${one?.Value}`);
}

test('a service gets devices by number, its tasks their files by name, and others nothing', async () => {
  expect(await offers('h2')).toBe('gpu=a/gpu=second');
  const loop = "trap 'exit 0' TERM; while :; do sleep 1; done";
  const program = ['muster/web:1', 'sh', '-c', loop];
  const words = ['--name', 'learner', '--replicas', '2', '--generic-resource', 'gpu=1'];
  await docker('service', 'create', '-d', ...words, ...program);
  const tasks = await cluster.waitRunning('learner', 2);
  expect(tasks.flatMap(namesOf).toSorted()).toEqual(['gpu=a', 'gpu=second']);
  const first = tasks.find((task) => namesOf(task)[0] === 'gpu=a');
  if (!first) throw new Error('no task holds gpu a');
  const tried = await cluster.execIn(
    first,
    `echo $DOCKER_RESOURCE_GPU; : > ${A} && echo opened; test -e ${B} || echo none`,
  );
  expect(tried).toBe('a\nopened\nnone\n');
  await docker('service', 'scale', '-d', 'learner=3');
  await eventually('the third to wait', async () =>
    (await docker('service', 'ps', '--no-trunc', 'learner')).includes(
      'no suitable node (insufficient gpu on 2 nodes)',
    ),
  );
  expect(await cluster.ctl('h1', 'explain', 'service', 'learner')).toMatch(
    /insufficient gpu on 2 nodes: [\s\S]*free 1 gpu on h2/,
  );
  await docker('service', 'scale', '-d', 'learner=2');
  const bad = await cluster.tryDocker(
    'h1',
    'service',
    'create',
    '--generic-resource',
    'gpu=a',
    'x',
  );
  expect(bad.code).not.toBe(0);
});

test('a device that is gone takes its task along, and the next agent that has one gets it', async () => {
  const [gone] = (await cluster.running('learner')).filter((task) => namesOf(task)[0] === 'gpu=a');
  await restart('h2', `gpu=second=${B}`);
  await eventually('the task to be told why', async () =>
    (await docker('service', 'ps', '--no-trunc', 'learner')).includes(
      'assigned node no longer offers gpu a',
    ),
  );
  const [left] = await cluster.waitRunning('learner', 1);
  expect(namesOf(left)).toEqual(['gpu=second']);
  await restart('h1', `gpu=third=${C}`);
  const tasks = await cluster.waitRunning('learner', 2);
  expect(tasks.flatMap(namesOf).toSorted()).toEqual(['gpu=second', 'gpu=third']);
  expect(tasks.map(({ ID }) => ID)).not.toContain(gone?.ID);
  const moved = tasks.find((task) => task.ID !== left?.ID);
  expect(await cluster.hostOf(moved as TaskJson)).toBe('h1');
});

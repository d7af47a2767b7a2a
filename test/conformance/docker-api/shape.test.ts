/**
 * Answers against the published description of the Engine API v1.50 (moby `api/swagger.yaml` at v28.2.2), reduced to
 * types, field names and enumerations in shapes.json: a field that is not published is an error here.
 */
import { readFileSync } from 'node:fs';
import { Ajv, type ValidateFunction } from 'ajv';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { updateObject } from '../../../pkg/model/index.ts';
import { type Setup, setUp } from '../docker-cli/setup.ts';
import { ask } from './http.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await setUp();
  const call = (path: string, body: object): Promise<unknown> =>
    ask(setup.socketPath, path, { body });
  await call('/networks/create', { Name: 'app', Driver: 'overlay' });
  await call('/secrets/create', { Name: 'key', Data: 'eA==' });
  await call('/configs/create', { Name: 'conf', Data: 'eA==' });
  await call('/services/create', {
    Name: 'web',
    TaskTemplate: { ContainerSpec: { Image: 'busybox' }, Networks: [{ Target: 'app' }] },
    Mode: { Replicated: { Replicas: 2 } },
    UpdateConfig: { FailureAction: 'pause', Monitor: 1_000_000, Order: 'stop-first' },
    EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort: 8080 }] },
  });
  const AccessMode = { Scope: 'multi', Sharing: 'all', MountVolume: {} };
  const ClusterVolumeSpec = { AccessMode, CapacityRange: { RequiredBytes: 4096 } };
  await call('/volumes/create', { Name: 'data', Driver: 'disk', ClusterVolumeSpec });
  published(setup);
  await call('/services/create', {
    Name: 'job',
    TaskTemplate: { ContainerSpec: { Image: 'busybox' } },
    Mode: { ReplicatedJob: { TotalCompletions: 2 } },
  });
  await setup.docker.run([
    'service',
    'update',
    '--image',
    'busybox:2',
    '--no-resolve-image',
    'web',
  ]);
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
});

const text = readFileSync(new URL('./shapes.json', import.meta.url), 'utf8');
/** What dockerd sends and its clients read, although the description does not mention it. */
const UNPUBLISHED = [
  ['Service', 'PreviousSpec'],
  ['Task', 'NetworksAttachments'],
  ['Network', 'Services'],
  ['Task', 'Volumes'],
  ['NodeDescription', 'CSIInfo'],
  // The description has these in AccessMode, where no client sends or reads them.
  ['ClusterVolumeSpec', 'AccessibilityRequirements'],
  ['ClusterVolumeSpec', 'CapacityRange'],
  ['ClusterVolumeSpec', 'Secrets'],
  ['ClusterVolumeSpec', 'Availability'],
] as const;

/** As after a driver has made the volume and is bringing it to a node. */
function published({ cluster }: Setup): void {
  const volume = cluster.inner.tables.byName('volume', 'data');
  if (!volume) throw new Error('no volume');
  const { nodeId } = cluster;
  const publication = {
    nodeId,
    driverNodeId: 'd',
    state: 'pending-publish',
    error: 'away',
  } as const;
  const info = { handle: 'h', capacityBytes: 4096, context: { a: 'b' }, topology: [] };
  const after = { ...volume, info, publications: [publication] };
  cluster.inner.apply([updateObject('volume', after)]);
  const csi = [{ name: 'disk', nodeId: 'd', volumesMax: 3, topology: { zone: 'a' } }];
  cluster.inner.setNode(nodeId, (node) => ({
    ...node,
    description: node.description && { ...node.description, csi },
  }));
}

type Shapes = Record<string, { readonly properties: Record<string, object> } | undefined>;
const { definitions } = JSON.parse(text) as { readonly definitions: Shapes };
for (const [name, field] of UNPUBLISHED)
  Object.assign(definitions[name]?.properties ?? {}, { [field]: {} });

const ajv = new Ajv({ strict: false, allErrors: true, allowUnionTypes: true });
ajv.addSchema({ $id: 'api', definitions });

function shape(name: string): ValidateFunction {
  return ajv.compile({ $ref: `api#/definitions/${name}` });
}

test.each([
  ['/services?status=true', 'Service'],
  ['/tasks', 'Task'],
  ['/nodes', 'Node'],
  ['/secrets', 'Secret'],
  ['/configs', 'Config'],
  ['/networks', 'Network'],
  ['/containers/json?all=1', 'ContainerSummary'],
  ['/images/json', 'ImageSummary'],
])('every element of GET %s is a %s', async (path, name) => {
  const { status, headers, json } = await ask(setup.socketPath, `/v1.50${path}`);
  expect(status).toBe(200);
  expect(headers['content-type']).toBe('application/json');
  const validate = shape(name);
  const problems = (json as unknown[]).flatMap((item) => (validate(item) ? [] : validate.errors));
  expect(problems).toEqual([]);
});

test.each([
  ['/services/web?insertDefaults=true', 'Service'],
  ['/networks/app?verbose=true', 'Network'],
  ['/swarm', 'Swarm'],
  ['/info', 'SystemInfo'],
  ['/version', 'SystemVersion'],
  ['/volumes', 'VolumeListResponse'],
  ['/volumes/data', 'Volume'],
  ['/services/nowhere', 'ErrorResponse'],
])('GET %s is a %s', async (path, name) => {
  const { headers, json } = await ask(setup.socketPath, path);
  expect(headers['content-type']).toBe('application/json');
  const validate = shape(name);
  expect(validate(json) ? [] : validate.errors).toEqual([]);
});

test('every line of GET /events is an EventMessage', async () => {
  const until = (Date.now() / 1000).toFixed(3);
  const answer = await ask(setup.socketPath, `/events?since=1&until=${until}`);
  const lines = answer.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  expect(lines.length).toBeGreaterThan(3);
  const validate = shape('EventMessage');
  expect(lines.flatMap((line) => (validate(line) ? [] : validate.errors))).toEqual([]);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { InstantMs, ServiceId } from './id.ts';
import {
  applyServiceUpdate,
  createService,
  rollbackService,
  rollbackToRevision,
} from './service-change.ts';
import type { ServiceSpec } from './service-spec.ts';
import { canonicalJson, onlyConstraintsChanged, taskSpecChanged } from './task-dependencies.ts';

const NOW = 5 as InstantMs;
const spec: ServiceSpec = {
  Name: 'web',
  TaskTemplate: { ContainerSpec: { Image: 'nginx:1' } },
  Mode: { Replicated: { Replicas: 2 } },
};
const image = (Image: string): ServiceSpec => ({
  ...spec,
  TaskTemplate: { ContainerSpec: { Image } },
});

test('a new service is version 1 and has a revision', () => {
  const { service, changes } = createService('s1' as ServiceId, spec, NOW);
  expect(service).toMatchObject({ specVersion: 1, endpoint: { ports: [], virtualIps: [] } });
  expect(changes.map(({ action, kind }) => `${action} ${kind}`)).toEqual([
    'create service',
    'create revision',
  ]);
});

test('an update is a version further and remembers the spec before it', () => {
  const { service } = createService('s1' as ServiceId, spec, NOW);
  const next = applyServiceUpdate(service, image('nginx:2'), NOW);
  expect(next.service).toMatchObject({
    specVersion: 2,
    previousSpec: spec,
    previousSpecVersion: 1,
  });
  expect(next.changes.map(({ kind }) => kind)).toEqual(['service', 'revision']);
});

test('a rollback to any revision is a version of its own with the same spec, byte for byte', () => {
  const first = createService('s1' as ServiceId, spec, NOW);
  const third = applyServiceUpdate(
    applyServiceUpdate(first.service, image('nginx:2'), NOW).service,
    image('nginx:3'),
    NOW,
  ).service;
  const [, change] = first.changes;
  if (change?.action !== 'create' || change.kind !== 'revision') throw new Error('no revision');
  const { service } = rollbackToRevision(third, change.object, NOW);
  expect(service).toMatchObject({
    specVersion: 4,
    previousSpecVersion: 3,
    updateStatus: {
      state: 'rollback_started',
      message: 'manually requested rollback to revision 1',
    },
  });
  expect(service.spec).toBe(spec);
  const now = { ...change.object, specVersion: 3 };
  expect(() => rollbackToRevision(third, now, NOW)).toThrow('is at revision 3 already');
});

test('a spec that means the same changes nothing', () => {
  const { service } = createService('s1' as ServiceId, spec, NOW);
  const same = { ...spec, Labels: {}, UpdateConfig: null, Networks: [] };
  expect(applyServiceUpdate(service, same, NOW)).toEqual({ service, changes: [] });
});

test('a rollback swaps the specs and is a version of its own', () => {
  const { service } = createService('s1' as ServiceId, spec, NOW);
  expect(() => rollbackService(service, NOW)).toThrow(/does not have a previous spec/);
  const updated = applyServiceUpdate(service, image('nginx:2'), NOW).service;
  expect(rollbackService(updated, NOW).service).toMatchObject({
    specVersion: 3,
    spec,
    previousSpec: image('nginx:2'),
    updateStatus: { state: 'rollback_started', message: 'manually requested rollback' },
  });
});

test('name and kind of a service cannot change', () => {
  const { service } = createService('s1' as ServiceId, spec, NOW);
  const rename = (): unknown => applyServiceUpdate(service, { ...spec, Name: 'other' }, NOW);
  const remode = (): unknown => applyServiceUpdate(service, { ...spec, Mode: { Global: {} } }, NOW);
  expect(rename).toThrow('renaming services is not supported');
  expect(remode).toThrow('service mode change is not allowed');
});

test.each([
  ['image', image('nginx:2'), true],
  ['label', { ...spec, Labels: { a: 'b' } }, false],
  ['replicas', { ...spec, Mode: { Replicated: { Replicas: 9 } } }, false],
  ['update policy', { ...spec, UpdateConfig: { Parallelism: 3 } }, false],
  ['published port', { ...spec, EndpointSpec: { Ports: [{ TargetPort: 80 }] } }, true],
  ['default endpoint mode spelled out', { ...spec, EndpointSpec: { Mode: 'vip' } }, false],
  ['network', { ...spec, Networks: [{ Target: 'n1' }] }, true],
  ['forced', { ...spec, TaskTemplate: { ...spec.TaskTemplate, ForceUpdate: 1 } }, true],
  [
    'container label',
    { ...spec, TaskTemplate: { ContainerSpec: { Image: 'nginx:1', Labels: { a: '' } } } },
    true,
  ],
  ['empty lists', { ...spec, TaskTemplate: { ...spec.TaskTemplate, Networks: [] } }, false],
] satisfies [string, ServiceSpec, boolean][])(
  'tasks are replaced or kept: %s',
  (_what, after, changed) => {
    expect(taskSpecChanged(spec, after)).toBe(changed);
    expect(taskSpecChanged(after, spec)).toBe(changed);
  },
);

test('networks named in the old and the new place are the same', () => {
  const old = { ...spec, Networks: [{ Target: 'n1' }] };
  const fresh = { ...spec, TaskTemplate: { ...spec.TaskTemplate, Networks: [{ Target: 'n1' }] } };
  expect(taskSpecChanged(old, fresh)).toBe(false);
});

test('a change of constraints alone is told from others', () => {
  const placed = (Constraints: string[]): ServiceSpec => ({
    ...spec,
    TaskTemplate: { ...spec.TaskTemplate, Placement: { Constraints } },
  });
  expect(onlyConstraintsChanged(spec, placed(['node.role==worker']))).toBe(true);
  expect(onlyConstraintsChanged(image('x'), placed(['node.role==worker']))).toBe(false);
});

test('canonical text does not depend on the order of keys', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      const turned = Object.fromEntries(Object.entries(value).toReversed());
      expect(canonicalJson(turned)).toBe(canonicalJson(value));
    }),
  );
});

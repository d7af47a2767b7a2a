import { expect, test } from 'vitest';
import { ClusterError } from './error.ts';
import type { Network, NetworkSpec } from './network.ts';
import type { ServiceSpec, TaskTemplateSpec } from './service-spec.ts';
import {
  refuseOverlap,
  validateConfigSpec,
  validateNetworkSpec,
  validateSecretSpec,
} from './validate-object.ts';
import { validateServiceSpec } from './validate-service.ts';

const good: ServiceSpec = {
  Name: 'web',
  TaskTemplate: { ContainerSpec: { Image: 'nginx:1.27' } },
  Mode: { Replicated: { Replicas: 2 } },
};

function template(change: Partial<TaskTemplateSpec>): ServiceSpec {
  return { ...good, TaskTemplate: { ...good.TaskTemplate, ...change } };
}

function container(change: object): ServiceSpec {
  return template({ ContainerSpec: { Image: 'nginx', ...change } });
}

function refusalOf(action: () => void): string {
  try {
    action();
  } catch (error) {
    if (error instanceof ClusterError && error.status === 400) return error.message;
    throw error;
  }
  return 'accepted';
}

test('a plain spec is accepted', () => {
  expect(refusalOf(() => validateServiceSpec(good))).toBe('accepted');
});

test.each([
  ['meta: name must be provided', { ...good, Name: '' }],
  ['name must be valid as a DNS name component', { ...good, Name: 'a.b' }],
  ['name must be 63 characters or fewer', { ...good, Name: 'a'.repeat(64) }],
  ['ContainerSpec: image reference must be provided', container({ Image: '' })],
  ['ContainerSpec: "UPPER" is not a valid repository/tag', container({ Image: 'UPPER' })],
  ['ContainerSpec: missing in service spec', template({ ContainerSpec: null })],
  [
    'ContainerSpec: duplicate mount point: /a',
    container({
      Mounts: [
        { Type: 'tmpfs', Target: '/a' },
        { Type: 'tmpfs', Target: '/a' },
      ],
    }),
  ],
  [
    'invalid mount target, must be an absolute path: a',
    container({ Mounts: [{ Type: 'volume', Target: 'a' }] }),
  ],
  [
    'invalid bind mount source, must be an absolute path: x',
    container({ Mounts: [{ Type: 'bind', Source: 'x', Target: '/a' }] }),
  ],
  [
    "secret references 'x' and 'y' have a conflicting target: 'f'",
    container({
      Secrets: [
        { SecretID: '1', SecretName: 'x', File: { Name: 'f' } },
        { SecretID: '2', SecretName: 'y', File: { Name: 'f' } },
      ],
    }),
  ],
  [
    'invalid cpu value 0.0005: Must be at least 0.001',
    template({ Resources: { Limits: { NanoCPUs: 500_000 } } }),
  ],
  [
    'invalid memory value 1024: Must be at least 4MiB',
    template({ Resources: { Reservations: { MemoryBytes: 1024 } } }),
  ],
  ['TaskSpec: restart-delay cannot be negative', template({ RestartPolicy: { Delay: -1 } })],
  [
    'constraint expected one operator from ==, != (or in, not in, <, >, =~, !~, exists, !exists)',
    template({ Placement: { Constraints: ['node.role'] } }),
  ],
  ["value '' is invalid", template({ Placement: { Constraints: ['node.role=='] } })],
  [
    'label muster.prioritty is not known: labels that begin with muster. are strategy, prefer, avoid, priority, preempt, min-available, drain-deadline, progress-deadline, restart-max-delay, rebalance, fence',
    { ...good, Labels: { 'muster.prioritty': '10' } },
  ],
  [
    'label muster.priority: "200" is not a whole number from 0 to 100',
    { ...good, Labels: { 'muster.priority': '200' } },
  ],
  [
    'label muster.strategy: "binpac" is not one of spread, binpack',
    { ...good, Labels: { 'muster.strategy': 'binpac' } },
  ],
  [
    'label muster.prefer: key \'nodes.labels.x\' is not known in "nodes.labels.x==1"',
    { ...good, Labels: { 'muster.prefer': 'nodes.labels.x==1' } },
  ],
  [
    'label muster.drain-deadline: "soon" is not a duration such as 500ms, 10s or 1m30s',
    { ...good, Labels: { 'muster.drain-deadline': 'soon' } },
  ],
  [
    'label muster.fence: start-first and min-available would run two copies of a slot',
    { ...good, Labels: { 'muster.fence': '10s' }, UpdateConfig: { Order: 'start-first' } },
  ],
  [
    'label muster.fence: "1s" is not 0 and not between 3s and 1h',
    { ...good, Labels: { 'muster.fence': '1s' } },
  ],
  [
    'label muster.rebalance: "10ms" is not 0 and not between 1s and 1h',
    { ...good, Labels: { 'muster.rebalance': '10ms' } },
  ],
  [
    'label muster.rebalance: only replicated services have a choice of nodes',
    { ...good, Mode: { Global: {} }, Labels: { 'muster.rebalance': '10s' } },
  ],
  [
    'label muster.rebalance: binpack wants its nodes full',
    { ...good, Labels: { 'muster.rebalance': '10s', 'muster.strategy': 'binpack' } },
  ],
  [
    'label muster.rebalance: a task that moves has two copies, which muster.fence excludes',
    { ...good, Labels: { 'muster.rebalance': '10s', 'muster.fence': '10s' } },
  ],
  [
    'label muster.rebalance: the tasks stay where their volumes are',
    {
      ...template({
        ContainerSpec: {
          Image: 'a',
          Mounts: [{ Type: 'volume', Source: 'rows', Target: '/rows' }],
        },
      }),
      Labels: { 'muster.rebalance': '10s' },
    },
  ],
  [
    'TaskSpec: invalid generic resource gpu=0',
    template({
      Resources: {
        Reservations: { GenericResources: [{ DiscreteResourceSpec: { Kind: 'gpu', Value: 0 } }] },
      },
    }),
  ],
  ['Number of replicas must be non-negative', { ...good, Mode: { Replicated: { Replicas: -1 } } }],
  ['must specify only one service mode', { ...good, Mode: { Replicated: {}, Global: {} } }],
  ['TaskSpec: update-delay cannot be negative', { ...good, UpdateConfig: { Delay: -1 } }],
  [
    'TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1',
    { ...good, UpdateConfig: { MaxFailureRatio: 1.5 } },
  ],
  [
    "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
    { ...good, EndpointSpec: { Mode: 'dnsrr', Ports: [{ TargetPort: 80 }] } },
  ],
  [
    'EndpointSpec: duplicate published ports provided',
    {
      ...good,
      EndpointSpec: {
        Ports: [
          { TargetPort: 80, PublishedPort: 8080 },
          { TargetPort: 81, PublishedPort: 8080 },
        ],
      },
    },
  ],
] satisfies [string, ServiceSpec][])('refused with: %s', (text, spec) => {
  expect(refusalOf(() => validateServiceSpec(spec))).toBe(
    `rpc error: code = InvalidArgument desc = ${text}`,
  );
});

test.each([
  'nginx',
  'nginx:1.27-alpine',
  'registry.example.test:5000/team/app:1.2',
  'localhost:5000/a/b__c@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
])('image %s is a reference', (Image) => {
  expect(refusalOf(() => validateServiceSpec(container({ Image })))).toBe('accepted');
});

test('secrets and configs have a name of 64 characters and a size limit', () => {
  const bytes = (count: number): string => Buffer.alloc(count, 1).toString('base64');
  const size = /data must be larger than 0 and less than/;
  expect(refusalOf(() => validateSecretSpec({ Name: 'a', Data: bytes(511_999) }))).toBe('accepted');
  expect(refusalOf(() => validateSecretSpec({ Name: 'a', Data: bytes(512_000) }))).toMatch(size);
  expect(refusalOf(() => validateSecretSpec({ Name: 'a', Data: '' }))).toMatch(size);
  expect(refusalOf(() => validateConfigSpec({ Name: 'a', Data: bytes(600_000) }))).toBe('accepted');
  expect(refusalOf(() => validateConfigSpec({ Name: 'a', Data: bytes(1_024_000) }))).toMatch(size);
  expect(refusalOf(() => validateSecretSpec({ Name: '-a', Data: bytes(1) }))).toMatch(
    /invalid name/,
  );
  expect(refusalOf(() => validateSecretSpec({ Name: 'a', Data: '%%%' }))).toMatch(/base64/);
});

test('a network needs a usable name, driver and subnet', () => {
  const ipam = (Subnet: string, Gateway?: string): string =>
    refusalOf(() => validateNetworkSpec({ Name: 'n', IPAM: { Config: [{ Subnet, Gateway }] } }));
  expect(refusalOf(() => validateNetworkSpec({ Name: 'n' }))).toBe('accepted');
  expect(refusalOf(() => validateNetworkSpec({ Name: 'a b' }))).toMatch(/DNS name component/);
  expect(refusalOf(() => validateNetworkSpec({ Name: 'n', Driver: 'weave' }))).toMatch(/weave/);
  expect(ipam('10.9.0.0/24', '10.9.0.1')).toBe('accepted');
  expect(ipam('10.9.0.0/33')).toMatch(/invalid subnet/);
  expect(ipam('10.9.0.0/24', '10.8.0.1')).toMatch(/not in subnet/);
});

test('a subnet that another network has, or waits for, is refused', () => {
  const specOf = (...subnets: readonly string[]): NetworkSpec => ({
    Name: 'new',
    IPAM: { Config: subnets.map((Subnet) => ({ Subnet })) },
  });
  const has = { subnets: [{ subnet: '10.5.0.0/20' }], spec: { Name: 'old' } };
  const waits = { subnets: [], spec: { ...specOf('10.6.0.0/16'), Name: 'young' } };
  const check = (spec: NetworkSpec) => (): void =>
    refuseOverlap([has, waits] as unknown as Network[], spec);
  const overlap = 'Pool overlaps with other one on this address space: ';
  expect(check(specOf('10.5.8.0/24'))).toThrow(
    `${overlap}10.5.8.0/24 with 10.5.0.0/20 of network old`,
  );
  expect(check(specOf('10.0.0.0/8'))).toThrow(`${overlap}10.0.0.0/8 with 10.5.0.0/20`);
  expect(check(specOf('10.6.9.0/24'))).toThrow('of network young');
  expect(check(specOf('10.7.0.0/24', '10.7.0.128/25'))).toThrow('of network new');
  expect(check(specOf('10.5.16.0/20', '10.7.0.0/24'))).not.toThrow();
  expect(check({ Name: 'new' })).not.toThrow();
});

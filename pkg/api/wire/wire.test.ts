import { expect, test } from 'vitest';
import { createRoot } from '../../ca/index.ts';
import {
  createService,
  type InstantMs,
  type ServiceId,
  type ServiceSpec,
  Tables,
  type Version,
} from '../../model/index.ts';
import { frame } from '../frames.ts';
import { renderService } from './service.ts';
import { nanoTimeText, timeText } from './time.ts';
import { renderTlsInfo } from './tls-info.ts';

const NOW = 1_700_000_000_123 as InstantMs;
const ID = 'service1' as ServiceId;

function rendered(spec: ServiceSpec, insertDefaults = false): Record<string, unknown> {
  const tables = new Tables();
  tables.apply(createService(ID, spec, NOW).changes, 7 as Version, NOW);
  const service = tables.get('service', ID);
  if (!service) throw new Error('not applied');
  return renderService(tables, service, { insertDefaults, status: true });
}

test('a job always says how often and how many at once', () => {
  expect(rendered({ Mode: { ReplicatedJob: {} } })).toMatchObject({
    Spec: { Mode: { ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 1 } } },
    JobStatus: { JobIteration: { Index: 0 } },
  });
});

test('a replicated service without a number runs once', () => {
  expect(rendered({ Mode: { Replicated: {} } })).toMatchObject({
    Version: { Index: 7 },
    Spec: { Mode: { Replicated: { Replicas: 1 } } },
    ServiceStatus: { RunningTasks: 0, DesiredTasks: 1, CompletedTasks: 0 },
  });
});

test('defaults fill what was left out and nothing else', () => {
  const spec: ServiceSpec = {
    TaskTemplate: { ContainerSpec: { Image: 'x', StopGracePeriod: 0 } },
    UpdateConfig: { Parallelism: 0, Order: '' },
  };
  expect(rendered(spec, true)['Spec']).toMatchObject({
    TaskTemplate: {
      ContainerSpec: { StopGracePeriod: 0, DNSConfig: {} },
      RestartPolicy: { Condition: 'any', Delay: 5e9, MaxAttempts: 0 },
    },
    UpdateConfig: { Parallelism: 0, Monitor: 5e9, Order: 'stop-first', FailureAction: 'pause' },
    RollbackConfig: { Parallelism: 1 },
    EndpointSpec: { Mode: 'vip' },
  });
  expect(rendered(spec)['Spec']).toMatchObject(spec);
});

test('times have the decimals Docker clients expect', () => {
  expect(timeText(NOW)).toBe('2023-11-14T22:13:20.123Z');
  expect(nanoTimeText(1_700_000_000_000_000_042n)).toBe('2023-11-14T22:13:20.000000042Z');
});

test('a frame is stream, length and payload', () => {
  expect([...frame('stderr', Buffer.from('ab'))]).toEqual([2, 0, 0, 0, 0, 0, 0, 2, 97, 98]);
});

test('TLSInfo carries subject and public key of the root in DER', async () => {
  const { certificatePem } = await createRoot({ clusterId: 'c1', now: NOW });
  const { TrustRoot, CertIssuerSubject, CertIssuerPublicKey } = renderTlsInfo(certificatePem);
  expect(TrustRoot).toBe(certificatePem);
  const subject = Buffer.from(String(CertIssuerSubject), 'base64');
  expect(subject[0]).toBe(0x30);
  expect(subject[1]).toBe(subject.length - 2);
  expect(subject.toString('latin1')).toContain('swarm-ca');
  expect(Buffer.from(String(CertIssuerPublicKey), 'base64')[0]).toBe(0x30);
});

import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  createCertificateRequest,
  createRoot,
  identityOf,
  issueNodeCertificate,
} from '../ca/index.ts';
import { silentLogger } from '../io/index.ts';
import type { NodeRole, TaskId } from '../model/index.ts';
import { RpcClient } from './client.ts';
import { Credentials, type Identity } from './credentials.ts';
import {
  type LogsHandlers,
  logsService,
  type PublishedLogs,
  publishLogs,
  readLogs,
} from './logs-service.ts';
import { RpcServer } from './server.ts';
import type { LogReadRequest, LogRecord } from './session-message.ts';

let identities: Readonly<Record<NodeRole, Identity>>;
beforeAll(async () => {
  const [clusterId, now] = ['c'.repeat(25), Date.now()];
  const root = await createRoot({ clusterId, now });
  const identity = async (nodeId: string, role: NodeRole): Promise<Identity> => {
    const { csrPem, keyPem } = await createCertificateRequest();
    const request = { root, csrPem, nodeId, role, clusterId, now };
    const certificatePem = await issueNodeCertificate(request);
    return identityOf({ certificatePem, keyPem, rootPem: root.certificatePem });
  };
  identities = {
    manager: await identity('m'.repeat(25), 'manager'),
    worker: await identity('w'.repeat(25), 'worker'),
  };
});

/** Waits as long as a busy machine may need. */
async function eventually(check: () => void): Promise<void> {
  await vi.waitFor(check, 20_000);
}

const open: { close(): void }[] = [];
afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close();
});

async function connected(
  handlers: Partial<LogsHandlers>,
  role: NodeRole = 'manager',
): Promise<RpcClient> {
  const none = async function* (): AsyncGenerator<LogRecord> {};
  const server = new RpcServer({
    credentials: new Credentials(identities.manager),
    log: silentLogger,
  });
  open.push(server);
  server.add(logsService({ read: none, publish: async () => undefined, ...handlers }));
  const port = await server.listen('127.0.0.1:0');
  const client = RpcClient.connect(`127.0.0.1:${port}`, new Credentials(identities[role]));
  open.push(client);
  return client;
}

const record = (text: string): LogRecord => ({
  taskId: 't1' as TaskId,
  nodeId: 'n1',
  timeNs: 1_763_700_000_123_456_789n,
  stream: 'stderr',
  data: Buffer.from(text),
});
const REQUEST: LogReadRequest = {
  selector: { serviceIds: [], taskIds: ['t1' as TaskId] },
  options: { follow: true, stdout: true, stderr: true, tail: 5 },
};

describe('reading logs', () => {
  it('brings records as they were written, and ends', async () => {
    const asked: LogReadRequest[] = [];
    const client = await connected({
      read: async function* (request) {
        asked.push(request);
        yield record('one\n');
        yield record('two\n');
      },
    });
    const read: LogRecord[] = [];
    for await (const one of readLogs(client, REQUEST)) read.push(one);
    expect(asked).toEqual([REQUEST]);
    expect(read.map(({ data }) => Buffer.from(data).toString())).toEqual(['one\n', 'two\n']);
    expect(read[0]).toMatchObject({ timeNs: 1_763_700_000_123_456_789n, stream: 'stderr' });
  });

  it('tells the leader when the reader goes away', async () => {
    let gone = false;
    const client = await connected({
      read: async function* (_request, signal) {
        yield record('one\n');
        await new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => resolve());
        });
        gone = true;
      },
    });
    const abort = new AbortController();
    for await (const _ of readLogs(client, REQUEST, abort.signal)) abort.abort();
    await eventually(() => expect(gone).toBe(true));
  });

  it('is not for workers', async () => {
    const client = await connected({}, 'worker');
    await expect(readLogs(client, REQUEST).next()).rejects.toMatchObject({ kind: 'forbidden' });
  });
});

describe('publishing logs', () => {
  const batch: PublishedLogs = { records: [record('x')], problems: ['task t2: unreadable'] };

  it('delivers batches under their subscription', async () => {
    const taken: [string, PublishedLogs][] = [];
    const client = await connected(
      {
        publish: async (subscription, batches) => {
          for await (const one of batches) taken.push([subscription, one]);
        },
      },
      'worker',
    );
    const batches = async function* (): AsyncGenerator<PublishedLogs> {
      yield batch;
    };
    await publishLogs(client, 'sub/1', batches());
    const delivered = taken.filter(([, { records }]) => records.length > 0);
    expect(delivered).toMatchObject([['sub/1', { problems: ['task t2: unreadable'] }]]);
  });

  it('ends when nobody reads any more', async () => {
    const client = await connected({ publish: async () => undefined }, 'worker');
    const endless = async function* (): AsyncGenerator<PublishedLogs> {
      yield batch;
      await new Promise<never>(() => undefined);
    };
    await publishLogs(client, 'sub/1', endless());
  });
});

import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type AuthorityState,
  CertificateAuthority,
  checkRoot,
  createCertificateRequest,
  createJoinToken,
  createRoot,
  identityOf,
  issueNodeCertificate,
  type RootAuthority,
} from '../ca/index.ts';
import { silentLogger } from '../io/index.ts';
import { ClusterError, type ClusterId, type NodeId, type NodeRole } from '../model/index.ts';
import {
  caService,
  fetchRootCertificate,
  renewCertificate,
  requestCertificate,
} from './ca-service.ts';
import { RpcClient } from './client.ts';
import { type ControlHandlers, controlService, joinGroup, leaveGroup } from './control-service.ts';
import { Credentials, type Identity } from './credentials.ts';
import { Control } from './gen/control.pb.ts';
import { RpcServer } from './server.ts';

const CLUSTER = 'c'.repeat(25) as ClusterId;
const MANAGER = 'm'.repeat(25) as NodeId;
const WORKER = 'w'.repeat(25) as NodeId;

let root: RootAuthority;
let foreignRoot: RootAuthority;
let manager: Identity;
let worker: Identity;

async function identity(
  authority: RootAuthority,
  nodeId: NodeId,
  role: NodeRole,
): Promise<Identity> {
  const { csrPem, keyPem } = await createCertificateRequest();
  const certificatePem = await issueNodeCertificate({
    root: authority,
    csrPem,
    nodeId,
    role,
    clusterId: CLUSTER,
    now: Date.now(),
  });
  return identityOf({ certificatePem, keyPem, rootPem: authority.certificatePem });
}

beforeAll(async () => {
  root = await createRoot({ clusterId: CLUSTER, now: Date.now() });
  foreignRoot = await createRoot({ clusterId: CLUSTER, now: Date.now() });
  manager = await identity(root, MANAGER, 'manager');
  worker = await identity(root, WORKER, 'worker');
});

const open: { close(): void }[] = [];
afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close();
});

interface Running {
  readonly address: string;
  readonly server: RpcServer;
  readonly credentials: Credentials;
  readonly tokens: { readonly worker: string; readonly manager: string };
}

const REFUSING: ControlHandlers = {
  join: async () => ({ members: [] }),
  leave: async () => ({}),
  introduce: (member) => ({ by: 9, members: [member] }),
};

async function running(
  handlers: ControlHandlers = REFUSING,
  own: Identity = manager,
  refuse?: () => string | undefined,
): Promise<Running> {
  const credentials = new Credentials(own);
  const server = new RpcServer({ credentials, log: silentLogger, refuse });
  open.push(server);
  const tokens = {
    worker: createJoinToken(root.certificatePem, '1'.repeat(25)),
    manager: createJoinToken(root.certificatePem, '2'.repeat(25)),
  };
  const authority = new CertificateAuthority({
    state: (): AuthorityState => ({ clusterId: CLUSTER, root, joinTokens: tokens }),
    roleOf: (id): NodeRole | undefined => (id === WORKER ? 'manager' : undefined),
    admit: async (): Promise<void> => undefined,
    newNodeId: (): NodeId => 'n'.repeat(25) as NodeId,
    now: (): number => Date.now(),
  });
  server.add(caService(authority));
  server.add(controlService(handlers));
  const port = await server.listen('127.0.0.1:0');
  return { address: `127.0.0.1:${port}`, server, credentials, tokens };
}

function connect(address: string, own: Identity): RpcClient {
  const client = RpcClient.connect(address, new Credentials(own));
  open.push(client);
  return client;
}

const self = { raftId: 2 ** 53 - 1, nodeId: MANAGER, address: '10.0.0.1:2377' };

describe('joining', () => {
  it('gives a certificate for a token, without one', async () => {
    const { address, tokens } = await running();
    const rootPem = await fetchRootCertificate(address);
    checkRoot(tokens.worker, rootPem);
    const { csrPem, keyPem } = await createCertificateRequest();
    const issued = await requestCertificate({ address, rootPem, csrPem, token: tokens.worker });
    expect(identityOf({ ...issued, keyPem })).toMatchObject({
      nodeId: 'n'.repeat(25),
      role: 'worker',
      clusterId: CLUSTER,
    });
  });

  it('refuses a wrong token in clear text', async () => {
    const { address } = await running();
    const { csrPem } = await createCertificateRequest();
    const token = createJoinToken(root.certificatePem, '9'.repeat(25));
    const attempt = requestCertificate({ address, rootPem: root.certificatePem, csrPem, token });
    await expect(attempt).rejects.toMatchObject({
      kind: 'unauthorized',
      message: expect.stringContaining('valid join token is necessary'),
    });
  });

  it('does not give the token to a manager of another root', async () => {
    const { address, tokens } = await running();
    const { csrPem } = await createCertificateRequest();
    const attempt = requestCertificate({
      address,
      rootPem: foreignRoot.certificatePem,
      csrPem,
      token: tokens.worker,
    });
    await expect(attempt).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('renews with the present certificate, in the role the cluster wants', async () => {
    const { address } = await running();
    const { csrPem, keyPem } = await createCertificateRequest();
    const renewed = await renewCertificate(connect(address, worker), csrPem);
    expect(identityOf({ ...renewed, keyPem })).toMatchObject({ nodeId: WORKER, role: 'manager' });
    const removed = renewCertificate(connect(address, manager), csrPem);
    await expect(removed).rejects.toMatchObject({ kind: 'forbidden' });
  });
});

describe('who may call', () => {
  it('lets a manager join the group and hands its verified identity to the handler', async () => {
    const seen: string[] = [];
    const { address } = await running({
      ...REFUSING,
      join: async (member) => ({ members: [member] }),
      leave: async (raftId, caller) => {
        seen.push(`${raftId} ${caller.nodeId} ${caller.role} ${caller.address}`);
        return { leader: '10.0.0.9:2377' };
      },
    });
    const client = connect(address, manager);
    expect(await joinGroup(client, self)).toEqual({ members: [self] });
    expect(await leaveGroup(client, 7)).toEqual({ leader: '10.0.0.9:2377' });
    expect(seen).toEqual([`7 ${MANAGER} manager 127.0.0.1`]);
    const other = joinGroup(client, { ...self, nodeId: WORKER });
    await expect(other).rejects.toMatchObject({ kind: 'forbidden' });
  });

  it('refuses a worker what is for managers', async () => {
    const { address } = await running();
    await expect(joinGroup(connect(address, worker), self)).rejects.toMatchObject({
      kind: 'forbidden',
      message: '/muster.control.Control/Join is not for a worker',
    });
  });

  it('refuses a caller without certificate, and one of another authority', async () => {
    const { address } = await running();
    const joiner = RpcClient.connectAsJoiner(address, root.certificatePem);
    open.push(joiner);
    await expect(joinGroup(joiner, self)).rejects.toMatchObject({
      kind: 'unauthorized',
      message: expect.stringContaining('needs a certificate of cluster'),
    });
    const forged = await identity(foreignRoot, MANAGER, 'manager');
    const impostor = connect(address, { ...forged, rootPem: root.certificatePem });
    await expect(joinGroup(impostor, self)).rejects.toMatchObject({ kind: 'unauthorized' });
  });

  it('refuses a good certificate of a node that was removed', async () => {
    const { address } = await running(REFUSING, manager, () => 'node was removed');
    await expect(joinGroup(connect(address, manager), self)).rejects.toMatchObject({
      kind: 'forbidden',
      message: 'node was removed',
    });
  });

  it('does not talk to a server that is not a manager of the cluster', async () => {
    const asWorker = await running(REFUSING, worker);
    await expect(joinGroup(connect(asWorker.address, manager), self)).rejects.toMatchObject({
      kind: 'unavailable',
    });
    const foreign = await running(REFUSING, await identity(foreignRoot, MANAGER, 'manager'));
    await expect(joinGroup(connect(foreign.address, manager), self)).rejects.toMatchObject({
      kind: 'unavailable',
    });
  });

  it('needs a handler for every method of a service', () => {
    const server = new RpcServer({ credentials: new Credentials(manager), log: silentLogger });
    open.push(server);
    expect(() => server.add({ service: Control, methods: [] })).toThrow(/Join, Leave/);
  });
});

describe('server', () => {
  it('passes on the kind and the text of what a handler throws', async () => {
    const { address } = await running({
      ...REFUSING,
      join: async () => {
        throw new ClusterError('conflict', 'that address is taken');
      },
    });
    await expect(joinGroup(connect(address, manager), self)).rejects.toMatchObject({
      kind: 'conflict',
      message: 'that address is taken',
    });
  });

  it('shows a renewed certificate to new connections', async () => {
    const { address, credentials } = await running();
    await joinGroup(connect(address, manager), self);
    credentials.replace(await identity(foreignRoot, MANAGER, 'manager'));
    await expect(joinGroup(connect(address, manager), self)).rejects.toMatchObject({
      kind: 'unavailable',
    });
    credentials.replace(manager);
    expect(await joinGroup(connect(address, manager), self)).toEqual({ members: [] });
  });

  it('says that its port is taken', async () => {
    const { address } = await running();
    const second = new RpcServer({ credentials: new Credentials(manager), log: silentLogger });
    open.push(second);
    await expect(second.listen(address)).rejects.toThrow('EADDRINUSE');
    await expect(second.listen('no port here')).rejects.toMatchObject({ kind: 'invalid' });
  });

  it('says that a manager cannot be reached', async () => {
    const client = connect('127.0.0.1:1', manager);
    await expect(client.ready(10_000)).rejects.toMatchObject({ kind: 'unavailable' });
  });
});

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type {
  NodeControl,
  NodeMembership,
  SwarmInitRequest,
  SwarmJoinRequest,
} from '../../pkg/api/index.ts';
import {
  createCertificateRequest,
  createRoot,
  issueNodeCertificate,
  loadIdentity,
  type NodeIdentity,
  parseJoinToken,
  removeIdentity,
  saveIdentity,
} from '../../pkg/ca/index.ts';
import {
  type Clock,
  type Logger,
  newObjectId,
  newRaftId,
  type Random,
} from '../../pkg/io/index.ts';
import {
  ClusterError,
  type ClusterId,
  errorMessage,
  type NodeId,
  type NodeRole,
} from '../../pkg/model/index.ts';
import { Credentials } from '../../pkg/rpc/index.ts';
import { isUnlockKey, unlocks } from '../../pkg/store/index.ts';
import { type AddressChoice, advertiseAddress, listenOn, remoteAddresses } from './address.ts';
import {
  addressOf,
  type BeginFile,
  changeBegin,
  keyFile,
  listenAddressOf,
  obstacleOf,
  readBegin,
  writeBegin,
} from './manager-folder.ts';
import { localUnlockKey } from './manager-socket.ts';
import { availabilityOf, newCluster } from './new-cluster.ts';
import {
  type NodeRecord,
  readNodeRecord,
  removeNodeRecord,
  tryWriteNodeRecord,
  writeNodeRecord,
} from './node-record.ts';
import { readdressed } from './readdress.ts';
import {
  ALREADY_MEMBER,
  LEAVING_LAST,
  LEAVING_LOCKED,
  LEAVING_MANAGER,
  LOCKED,
  NO_KEY,
  NOT_MANAGER,
  NOT_MEMBER,
  REMOVED,
  WORKER,
  WRONG_KEY,
} from './refusals.ts';
import { firstCertificate, leaveManagers, nextCertificate, Renewal, RoleFollower } from './role.ts';
import type { ManagerSupervisor } from './supervise-manager.ts';

/** The part of the agent that follows the cluster's orders: started with the membership, ended with it. */
export interface ClusterWork {
  start(credentials: Credentials, record: NodeRecord): Promise<void>;
  /** Lets go of the cluster; with `forget`, stops every task and takes the networks away. */
  stop(options: { readonly forget: boolean }): Promise<void>;
}

export interface MemberOptions {
  readonly dataDir: string;
  readonly advertise: string;
  readonly listenPort: number;
  /** host:port where managers may be now, beside those heard of. */
  readonly managers: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly supervisor: ManagerSupervisor;
  readonly work: ClusterWork;
}

/** This host's membership: makes, joins and leaves clusters, and takes up again after a restart. */
export class Member implements NodeControl {
  readonly #options: MemberOptions;
  #credentials: Credentials | undefined;
  #record: NodeRecord | undefined;
  #pending = false;
  /** The role that the cluster named last. */
  #wish: NodeRole | undefined;
  /** Why the address is not sure, if it was said. */
  #doubt = '';
  readonly #roles: RoleFollower;
  readonly #renewal: Renewal;

  constructor(options: MemberOptions) {
    const { clock, random, log } = options;
    this.#options = options;
    this.#roles = new RoleFollower({
      clock,
      log,
      change: (role): Promise<void> => this.#become(role),
    });
    this.#renewal = new Renewal({ clock, random, log, renew: (): Promise<void> => this.#renew() });
    // Taken out, and wanted again before this agent heard of the first: nobody names the role once more.
    options.supervisor.whenRemoved(() => this.#wish && this.wantRole(this.#wish));
  }

  /** Continue as what this host was before the agent ended. */
  async resume(): Promise<void> {
    const identity = await loadIdentity(this.#identityDir);
    const record = readNodeRecord(this.#options.dataDir);
    if (!identity || !record) return;
    const next = this.#readdressed(record);
    await this.#move(next);
    await this.#begin(identity, next);
  }

  /** Moves when the address of this host has become another one; to be called at intervals. */
  async followAddress(): Promise<void> {
    const { supervisor, work, log } = this.#options;
    const [credentials, record] = [this.#credentials, this.#record];
    if (!credentials || !record || this.#pending) return;
    const next = this.#readdressed(record);
    if (next === record) return;
    this.#pending = true;
    try {
      await work.stop({ forget: false });
      await this.#move(next);
      if (credentials.identity.role === 'manager') supervisor.start();
      await work.start(credentials, next);
      // Not before: what failed is done again from the beginning.
      this.#record = next;
    } catch (error) {
      log.error('this host has another address, but did not move yet', { error });
    } finally {
      this.#pending = false;
    }
  }

  #readdressed(record: NodeRecord): NodeRecord {
    const { advertise, log } = this.#options;
    try {
      const next = readdressed(record, advertise);
      if (next.advertiseAddress !== record.advertiseAddress) {
        const [before, now] = [record.advertiseAddress, next.advertiseAddress];
        log.info('this host has another address', { before, now });
      }
      this.#doubt = '';
      return next;
    } catch (error) {
      const reason = errorMessage(error);
      if (reason !== this.#doubt)
        log.warn('this host goes on under its former address', { reason });
      this.#doubt = reason;
      return record;
    }
  }

  /** Written down; a manager that still runs where this host was before ends, to be started anew. */
  async #move(record: NodeRecord): Promise<void> {
    const { dataDir, managers, supervisor } = this.#options;
    writeNodeRecord(dataDir, record);
    const begin = readBegin(dataDir);
    const advertise = addressOf(record);
    const known = begin?.managers ?? [];
    if (!begin || (begin.advertise === advertise && known.join() === managers.join())) return;
    // Without more to look for, the one that runs need not be disturbed.
    if (begin.advertise !== advertise || managers.length > 0) {
      const unlockKey = await localUnlockKey(supervisor.socket);
      await supervisor.stop();
      if (unlockKey !== '') supervisor.unlock(unlockKey);
    }
    changeBegin(dataDir, begin, { advertise, listen: listenAddressOf(record), managers });
  }

  status(): NodeMembership {
    const identity = this.#credentials?.identity;
    const { wanted, obstacle } = this.#options.supervisor;
    const state = obstacle === 'removed' ? 'error' : obstacle === 'locked' ? 'locked' : 'active';
    return {
      localNodeState: identity ? state : this.#pending ? 'pending' : 'inactive',
      nodeId: identity?.nodeId ?? '',
      nodeAddr: identity ? (this.#record?.advertiseAddress ?? '') : '',
      controlAvailable: identity !== undefined && wanted && obstacle === undefined,
      error: obstacle === 'removed' ? REMOVED : '',
      remoteManagers: (this.#record?.managers ?? []).map((Addr) => ({ NodeID: '', Addr })),
    };
  }

  /** Managers heard of on the session; kept for the next start, if the disk takes it. */
  heardOf(managers: readonly string[]): void {
    if (!this.#record || managers.length === 0) return;
    if (managers.join() === this.#record.managers.join()) return;
    this.#record = { ...this.#record, managers };
    tryWriteNodeRecord(this.#options, this.#record);
  }

  /** The cluster wants this node in a role; if it has another one, it is promoted or demoted. Replaces an earlier wish. */
  wantRole(role: NodeRole): void {
    this.#wish = role;
    if (this.#credentials) this.#roles.want(role);
  }

  /** The agent itself ends: nothing is renewed any more. */
  release(): void {
    this.#renewal.stop();
  }

  async init(request: SwarmInitRequest): Promise<string> {
    if (request.ForceNewCluster && this.#credentials) return await this.#goOnAlone(request);
    return await this.#exclusively(async () => {
      const { clock, random } = this.#options;
      const record = this.#newRecord(request, []);
      const clusterId = newObjectId(random) as ClusterId;
      const nodeId = newObjectId(random) as NodeId;
      const root = await createRoot({ clusterId, now: clock.now() });
      const { csrPem, keyPem } = await createCertificateRequest();
      const certificatePem = await issueNodeCertificate({
        root,
        csrPem,
        nodeId,
        role: 'manager',
        clusterId,
        now: clock.now(),
      });
      const rootPem = root.certificatePem;
      const address = addressOf(record);
      this.#writeBegin(record, {
        kind: 'bootstrap',
        cluster: newCluster(request, root, random),
        availability: availabilityOf(request.Availability),
      });
      const identity: NodeIdentity = {
        nodeId,
        clusterId,
        role: 'manager',
        certificatePem,
        keyPem,
        rootPem,
      };
      await this.#adopt(identity, { ...record, managers: [address] });
      return nodeId;
    });
  }

  /** Give up the other managers, whose majority is lost, and go on with the state that this one has. */
  async #goOnAlone(request: SwarmInitRequest): Promise<string> {
    const { dataDir, supervisor, random } = this.#options;
    const [credentials, record] = [this.#credentials, this.#record];
    const begin = readBegin(dataDir);
    if (supervisor.obstacle === 'locked') throw new ClusterError('unavailable', LOCKED);
    const mine = credentials?.identity.role === 'manager' && supervisor.obstacle === undefined;
    if (!credentials || !record || !begin || !mine)
      throw new ClusterError('unavailable', NOT_MANAGER);
    if (this.#pending) throw new ClusterError('unavailable', ALREADY_MEMBER);
    this.#pending = true;
    try {
      const address = advertiseAddress(request.AdvertiseAddr, record.advertiseAddress);
      const next = { ...record, advertiseAddress: address, chosen: this.#chosen(request) };
      this.#record = { ...next, managers: [addressOf(next)] };
      const unlockKey = await localUnlockKey(supervisor.socket);
      await supervisor.stop();
      if (unlockKey !== '') supervisor.unlock(unlockKey);
      // An attempt that was cut off is finished under the id it had chosen.
      const how: BeginFile['how'] =
        begin.how.kind === 'alone' ? begin.how : { kind: 'alone', former: begin.raftId };
      const raftId = begin.how.kind === 'alone' ? begin.raftId : newRaftId(random);
      writeNodeRecord(dataDir, this.#record);
      writeBegin(dataDir, { raftId, record: next, how });
      supervisor.start();
      await supervisor.ready();
      return credentials.identity.nodeId;
    } finally {
      this.#pending = false;
    }
  }

  async join(request: SwarmJoinRequest): Promise<void> {
    const token = request.JoinToken ?? '';
    parseJoinToken(token);
    const remotes = remoteAddresses(request.RemoteAddrs);
    await this.#exclusively(async () => {
      const record = this.#newRecord(request, remotes);
      const { csrPem, keyPem } = await createCertificateRequest();
      const { dataPathAddress } = record;
      const issued = await firstCertificate(remotes, { csrPem, token, dataPathAddress });
      const identity: NodeIdentity = { ...issued, keyPem };
      if (identity.role === 'manager') this.#writeBegin(record, { kind: 'join', remotes });
      await this.#adopt(identity, record);
    });
  }

  async leave({ force }: { readonly force: boolean }): Promise<void> {
    const identity = this.#credentials?.identity;
    if (!identity) throw new ClusterError('unavailable', NOT_MEMBER);
    if (identity.role === 'manager' && !force) throw this.#leavingNeedsForce();
    // From here on no order of the cluster is followed: not even the one to be a worker now.
    this.#pending = true;
    try {
      await this.#leaveGroup();
      await this.#forget();
    } finally {
      this.#pending = false;
    }
  }

  async unlock(key: string): Promise<void> {
    const { supervisor, dataDir } = this.#options;
    const role = this.#credentials?.identity.role;
    if (role !== 'manager')
      throw new ClusterError('unavailable', role === 'worker' ? WORKER : NOT_MANAGER);
    if (supervisor.obstacle !== 'locked') throw new ClusterError('conflict', 'swarm is not locked');
    if (!isUnlockKey(key)) throw new ClusterError('invalid', NO_KEY);
    if (!unlocks(keyFile(dataDir), key)) throw new ClusterError('unauthorized', WRONG_KEY);
    supervisor.unlock(key);
    await supervisor.ready();
  }

  /** Between init or join and its outcome no other may begin, and a failed one leaves nothing. */
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    if (this.#credentials || this.#pending) throw new ClusterError('unavailable', ALREADY_MEMBER);
    this.#pending = true;
    try {
      return await work();
    } catch (error) {
      await this.#forget();
      throw error;
    } finally {
      this.#pending = false;
    }
  }

  async #adopt(identity: NodeIdentity, record: NodeRecord): Promise<void> {
    await saveIdentity(this.#identityDir, identity);
    writeNodeRecord(this.#options.dataDir, record);
    await this.#begin(identity, record);
    if (identity.role === 'manager') await this.#options.supervisor.ready();
  }

  async #begin(identity: NodeIdentity, record: NodeRecord): Promise<void> {
    this.#credentials = new Credentials(identity);
    this.#record = record;
    this.#renewal.follow(identity.certificatePem);
    if (identity.role === 'manager') this.#options.supervisor.start();
    await this.#options.work.start(this.#credentials, record);
  }

  /** A certificate in the role; then a replica that joins, or the end of the one that was let go. */
  async #become(role: NodeRole): Promise<void> {
    const { log, supervisor } = this.#options;
    const [credentials, record] = [this.#credentials, this.#record];
    if (!credentials || !record || this.#pending || !this.#mustChange(role)) return;
    const others = record.managers.filter((address) => address !== addressOf(record));
    const identity = await nextCertificate(others, credentials);
    if (identity.role !== role)
      throw new ClusterError('conflict', `the cluster wants this node as ${identity.role}`);
    await supervisor.stop();
    rmSync(join(this.#options.dataDir, 'manager'), { recursive: true, force: true });
    if (role === 'manager') this.#writeBegin(record, { kind: 'join', remotes: others });
    await saveIdentity(this.#identityDir, identity);
    // The session begins anew with it.
    credentials.replace(identity);
    this.#renewal.follow(identity.certificatePem);
    if (role === 'manager') supervisor.start();
    log.info('role changed', { role });
  }

  async #renew(): Promise<void> {
    const [credentials, record] = [this.#credentials, this.#record];
    if (!credentials || !record) return;
    const identity = await nextCertificate(record.managers, credentials);
    await saveIdentity(this.#identityDir, identity);
    credentials.replace(identity);
    this.#renewal.follow(identity.certificatePem);
    this.#options.log.info('certificate renewed', { role: identity.role });
  }

  async #leaveGroup(): Promise<void> {
    const { dataDir, log } = this.#options;
    const [credentials, record] = [this.#credentials, this.#record];
    const begin = readBegin(dataDir);
    if (!credentials || !record || !begin) return;
    const others = record.managers.filter((address) => address !== addressOf(record));
    if (others.length === 0) return;
    await leaveManagers(others, credentials, { raftId: begin.raftId, log });
  }

  async #forget(): Promise<void> {
    this.#renewal.stop();
    const { dataDir, supervisor, work } = this.#options;
    await work.stop({ forget: true });
    await supervisor.stop();
    await removeIdentity(this.#identityDir);
    removeNodeRecord(dataDir);
    rmSync(join(dataDir, 'manager'), { recursive: true, force: true });
    this.#credentials = undefined;
    this.#record = undefined;
    this.#wish = undefined;
  }

  #leavingNeedsForce(): ClusterError {
    const others = (this.#record?.managers.length ?? 0) > 1;
    const last = others ? LEAVING_MANAGER : LEAVING_LAST;
    const locked = this.#options.supervisor.obstacle === 'locked';
    return new ClusterError('unavailable', locked ? LEAVING_LOCKED : last);
  }

  #newRecord(
    request: SwarmInitRequest | SwarmJoinRequest,
    managers: readonly string[],
  ): NodeRecord {
    const address = advertiseAddress(request.AdvertiseAddr, this.#options.advertise);
    return {
      advertiseAddress: address,
      chosen: this.#chosen(request),
      dataPathAddress: request.DataPathAddr ? advertiseAddress(request.DataPathAddr, '') : address,
      ...listenOn(request.ListenAddr, this.#options.listenPort),
      managers,
    };
  }

  #chosen(request: SwarmInitRequest | SwarmJoinRequest): AddressChoice {
    return { asked: request.AdvertiseAddr ?? '', configured: this.#options.advertise };
  }

  /** It has another role; or it is to be a manager (again) and its replica was removed, or an attempt broke off without one. */
  #mustChange(role: NodeRole): boolean {
    const { dataDir } = this.#options;
    const hasReplica = obstacleOf(dataDir) !== 'removed' && readBegin(dataDir) !== undefined;
    return (role === 'manager' && !hasReplica) || this.#credentials?.identity.role !== role;
  }

  #writeBegin(record: NodeRecord, how: BeginFile['how']): void {
    const { dataDir, random } = this.#options;
    writeBegin(dataDir, { raftId: newRaftId(random), record, how });
  }

  get #identityDir(): string {
    return join(this.#options.dataDir, 'identity');
  }
}

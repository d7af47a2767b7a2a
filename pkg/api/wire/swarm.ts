import type { Cluster } from '../../model/index.ts';
import { taskHistoryLimit } from '../../model/index.ts';
import type { DockerJson } from '../engine.ts';
import { timeText } from './time.ts';
import { renderTlsInfo } from './tls-info.ts';

const HEARTBEAT_DEFAULT_NS = 5_000_000_000;
const NODE_CERT_EXPIRY_NS = 7_776_000_000_000_000;

/** The Engine API's ClusterInfo, as `GET /info` carries it. */
export function renderClusterInfo(cluster: Cluster): DockerJson {
  return {
    ID: cluster.id,
    Version: { Index: cluster.version },
    CreatedAt: timeText(cluster.createdAt),
    UpdatedAt: timeText(cluster.updatedAt),
    Spec: renderClusterSpec(cluster),
    TLSInfo: renderTlsInfo(cluster.ca.certificatePem),
    RootRotationInProgress: false,
    DefaultAddrPool: cluster.addressPools,
    SubnetSize: cluster.subnetSize,
    DataPathPort: cluster.dataPathPort,
  };
}

/** The Engine API's Swarm: with the join tokens. */
export function renderSwarm(cluster: Cluster): DockerJson {
  return {
    ...renderClusterInfo(cluster),
    JoinTokens: { Worker: cluster.joinTokens.worker, Manager: cluster.joinTokens.manager },
  };
}

/** The CLI prints and sends back the whole spec, so absent parts are shown with what applies. */
function renderClusterSpec({ spec, ...cluster }: Cluster): DockerJson {
  return {
    ...spec,
    Name: spec.Name || 'default',
    Labels: spec.Labels ?? {},
    Orchestration: { TaskHistoryRetentionLimit: taskHistoryLimit({ spec, ...cluster }) },
    Raft: {
      SnapshotInterval: 10_000,
      KeepOldSnapshots: 0,
      LogEntriesForSlowFollowers: 500,
      ElectionTick: 10,
      HeartbeatTick: 1,
      ...spec.Raft,
    },
    Dispatcher: { HeartbeatPeriod: HEARTBEAT_DEFAULT_NS, ...spec.Dispatcher },
    CAConfig: { NodeCertExpiry: NODE_CERT_EXPIRY_NS, ...spec.CAConfig },
    TaskDefaults: spec.TaskDefaults ?? {},
    EncryptionConfig: { AutoLockManagers: spec.EncryptionConfig?.AutoLockManagers ?? false },
  };
}

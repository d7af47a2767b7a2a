import type { SwarmInitRequest } from '../../pkg/api/index.ts';
import { createJoinToken } from '../../pkg/ca/index.ts';
import { newObjectId, type Random } from '../../pkg/io/index.ts';
import {
  ADDRESS_POOLS_DEFAULT,
  type Availability,
  type Cluster,
  ClusterError,
  DATA_PATH_PORT_DEFAULT,
  SUBNET_SIZE_DEFAULT,
} from '../../pkg/model/index.ts';
import { newUnlockKey } from '../../pkg/store/index.ts';

/** The cluster that a request asks for, with fresh tokens. */
export function newCluster(
  request: SwarmInitRequest,
  root: Cluster['ca'],
  random: Random,
): Omit<Cluster, 'id' | 'version' | 'createdAt' | 'updatedAt'> {
  const pools = request.DefaultAddrPool ?? [];
  const given = request.Spec as Cluster['spec'] | null | undefined;
  const autolock =
    request.AutoLockManagers === true || given?.EncryptionConfig?.AutoLockManagers === true;
  const token = (): string => createJoinToken(root.certificatePem, newObjectId(random));
  return {
    spec: { ...given, Name: 'default', EncryptionConfig: { AutoLockManagers: autolock } },
    ...(autolock && { unlockKey: newUnlockKey() }),
    ca: { certificatePem: root.certificatePem, keyPem: root.keyPem },
    joinTokens: { worker: token(), manager: token() },
    addressPools: pools.length > 0 ? pools : ADDRESS_POOLS_DEFAULT,
    subnetSize: request.SubnetSize || SUBNET_SIZE_DEFAULT,
    dataPathPort: request.DataPathPort || DATA_PATH_PORT_DEFAULT,
  };
}

/** @throws ClusterError invalid */
export function availabilityOf(text: string | undefined): Availability {
  if (text === undefined || text === '') return 'active';
  if (text === 'active' || text === 'pause' || text === 'drain') return text;
  throw new ClusterError('invalid', `invalid Availability: "${text}"`);
}

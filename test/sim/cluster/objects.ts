import {
  type ClusterId,
  type createObject,
  type InstantMs,
  type ServiceSpec,
  VERSION_NONE,
} from '../../../pkg/model/index.ts';

const RESERVED = 2e9;

/** Of an image that never runs for long. */
export function isBad(spec: ServiceSpec): boolean {
  return !spec.TaskTemplate?.ContainerSpec?.Image.startsWith('good');
}

export function reserving(name: string, replicas: number): ServiceSpec {
  return {
    Name: name,
    TaskTemplate: {
      ContainerSpec: { Image: 'good1' },
      Resources: { Reservations: { NanoCPUs: RESERVED } },
    },
    Mode: { Replicated: { Replicas: replicas } },
  };
}

export function clusterObject(now: InstantMs): Parameters<typeof createObject<'cluster'>>[1] {
  return {
    id: 'cluster1' as ClusterId,
    version: VERSION_NONE,
    createdAt: now,
    updatedAt: now,
    spec: {},
    ca: { certificatePem: '', keyPem: '' },
    joinTokens: { worker: '', manager: '' },
    addressPools: ['10.0.0.0/8'],
    subnetSize: 20,
    dataPathPort: 4789,
  };
}

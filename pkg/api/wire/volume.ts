import type { Volume } from '../../model/index.ts';
import type { DockerJson } from '../engine.ts';
import { timeText } from './time.ts';

/** The Engine API's Volume, for one of the cluster. What keeps it from being as it should be is in `Status`. */
export function renderVolume(volume: Volume): DockerJson {
  const { spec } = volume;
  const status = problems(volume);
  return {
    ClusterVolume: renderClusterVolume(volume),
    CreatedAt: timeText(volume.createdAt),
    Driver: spec.Driver ?? '',
    Labels: spec.Labels ?? {},
    Mountpoint: '',
    Name: spec.Name,
    Options: spec.DriverOpts ?? {},
    Scope: 'global',
    ...(status && { Status: status }),
  };
}

function renderClusterVolume(volume: Volume): DockerJson {
  const { spec, info, publications } = volume;
  const cluster = spec.ClusterVolumeSpec;
  return {
    ID: volume.id,
    Version: { Index: volume.version },
    CreatedAt: timeText(volume.createdAt),
    UpdatedAt: timeText(volume.updatedAt),
    Spec: {
      ...withoutNulls(cluster),
      AccessMode: {
        ...withoutNulls(cluster.AccessMode ?? {}),
        Scope: cluster.AccessMode?.Scope || 'single',
        Sharing: cluster.AccessMode?.Sharing || 'none',
      },
      Availability: cluster.Availability || 'active',
    },
    ...(publications.length > 0 && {
      PublishStatus: publications.map(({ nodeId, state, context }) => ({
        NodeID: nodeId,
        State: state,
        ...(context && { PublishContext: context }),
      })),
    }),
    ...(info && {
      Info: {
        CapacityBytes: info.capacityBytes,
        VolumeContext: info.context,
        VolumeID: info.handle,
        ...(info.topology.length > 0 && {
          AccessibleTopology: info.topology.map((Segments) => ({ Segments })),
        }),
      },
    }),
  };
}

function withoutNulls(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== null));
}

/** By what is tried: `create`, `delete`, or the id of the node that it is on its way to or from. */
function problems({ info, error, publications }: Volume): DockerJson | undefined {
  const found: [string, DockerJson][] = [];
  if (error !== undefined) found.push([info ? 'delete' : 'create', { Error: error }]);
  for (const one of publications) {
    if (one.error !== undefined) found.push([one.nodeId, { Error: one.error, State: one.state }]);
  }
  return found.length > 0 ? Object.fromEntries(found) : undefined;
}

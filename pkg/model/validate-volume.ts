import type { SecretId } from './id.ts';
import type { Secret } from './secret.ts';
import { canonicalJson } from './task-dependencies.ts';
import { refuse } from './validate-refuse.ts';
import type { View } from './view.ts';
import type { ClusterVolumeSpec, VolumeSpec } from './volume.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const NAME_MAX = 128;
/** A file name: the driver's socket is `<data dir>/csi/DRIVER.sock`. */
const DRIVER = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
const SCOPES = ['single', 'multi'];
const SHARINGS = ['none', 'readonly', 'onewriter', 'all'];
const AVAILABILITIES = ['active', 'pause', 'drain'];

/** Throws `ClusterError` ('invalid') for a cluster volume that no driver could be asked for. */
export function validateVolumeSpec(spec: VolumeSpec): void {
  if (!spec.Driver) refuse('driver must be specified');
  if (spec.Driver === 'local') {
    refuse(
      'driver local has no cluster volumes: name the CSI driver that shall make it (--driver)',
    );
  }
  if (!DRIVER.test(spec.Driver)) refuse(`volume driver "${spec.Driver}" is not a valid name`);
  if (!spec.Name) refuse('meta: name must be provided');
  if (!NAME.test(spec.Name) || spec.Name.length > NAME_MAX) {
    refuse(
      `volume name "${spec.Name}" is invalid: up to ${NAME_MAX} characters of [a-zA-Z0-9_.-], the first a letter or digit`,
    );
  }
  const { AccessMode: mode, CapacityRange: range, Availability } = spec.ClusterVolumeSpec;
  if (!mode) refuse('AccessMode must not be nil');
  if (Boolean(mode.MountVolume) === Boolean(mode.BlockVolume)) {
    refuse('Volume AccessMode must specify either Mount or Block access type');
  }
  oneOf('scope', mode.Scope, SCOPES);
  oneOf('sharing', mode.Sharing, SHARINGS);
  oneOf('availability', Availability, AVAILABILITIES);
  const { RequiredBytes: required, LimitBytes: limit } = range ?? {};
  if ((required ?? 0) < 0 || (limit ?? 0) < 0) refuse('CapacityRange cannot be negative');
  if (limit && required && limit < required) {
    refuse(`CapacityRange: the limit of ${limit} bytes is less than the required ${required}`);
  }
}

function oneOf(what: string, value: string | null | undefined, known: readonly string[]): void {
  if (value && !known.includes(value)) {
    refuse(`volume ${what} "${value}" is unknown, it is one of ${known.join(', ')}`);
  }
}

/** Throws `ClusterError` ('invalid') naming every secret that the driver would need and that does not exist. */
export function checkVolumeSecrets(
  view: View,
  { ClusterVolumeSpec: { Secrets } }: VolumeSpec,
): void {
  const missing = (Secrets ?? []).filter(({ Secret }) => !volumeSecret(view, Secret));
  if (missing.length === 0) return;
  const noun = missing.length === 1 ? 'secret' : 'secrets';
  refuse(`${noun} not found: ${missing.map(({ Secret }) => Secret).join(', ')}`);
}

/** By name or id. */
export function volumeSecret(view: View, asked: string): Secret | undefined {
  return view.get('secret', asked as SecretId) ?? view.byName('secret', asked);
}

const FIXED: readonly (keyof ClusterVolumeSpec)[] = [
  'Group',
  'AccessibilityRequirements',
  'AccessMode',
  'Secrets',
  'CapacityRange',
];

/** The spec with what may change; throws `ClusterError` ('invalid') when the client changed anything else. */
export function updatedVolumeSpec(stored: VolumeSpec, sent: ClusterVolumeSpec): VolumeSpec {
  const before = stored.ClusterVolumeSpec;
  for (const field of FIXED) {
    if (field in sent && canonicalJson(sent[field]) !== canonicalJson(before[field])) {
      refuse(`${field} cannot be updated`);
    }
  }
  oneOf('availability', sent.Availability, AVAILABILITIES);
  const Availability = sent.Availability || before.Availability;
  return { ...stored, ClusterVolumeSpec: { ...before, Availability } };
}

import type { MeshWishes } from './endpoint.ts';
import { parseIpAddress, parseIpBlock } from './ip-address.ts';
import type { ServiceSpec } from './service-spec.ts';
import { refuse } from './validate-refuse.ts';

/** Service labels with this prefix say how a service is reached: Docker's schema has no fields for it. */
export const NETWORK_LABEL_PREFIX = 'muster.network.';

/** How a service wants to be reached. Said by labels of the service, so a change restarts nothing. */
export interface NetworkWishes {
  /** `client`: connections from one address go to one task. */
  readonly affinity?: 'client' | undefined;
  readonly mesh?: MeshWishes | undefined;
  /** Names of the services that may open connections, besides its own; absent: everybody on the network. */
  readonly allowFrom?: readonly string[] | undefined;
}

/** Reads one label; undefined when its value has no meaning. */
type Reader = (value: string) => NetworkWishes | undefined;

/** By name without the prefix: what may stand in it, and what it says. */
const LABELS: ReadonlyMap<string, { readonly values: string; readonly read: Reader }> = new Map([
  [
    'affinity',
    { values: 'client or none', read: choice({ client: { affinity: 'client' }, none: {} }) },
  ],
  ['allow-from', { values: 'names of services, by comma, or none', read: readAllowFrom }],
  [
    'mesh-source',
    {
      values: 'client or masquerade',
      read: choice({ client: {}, masquerade: { mesh: { masquerade: true } } }),
    },
  ],
  [
    'mesh-prefer',
    { values: 'local or any', read: choice({ local: { mesh: { preferLocal: true } }, any: {} }) },
  ],
  ['publish-on', { values: 'addresses, prefixes or link names, by comma', read: readPublishOn }],
]);

/**
 * A label of the container, so that tasks of two versions can have different ones: share of the service's new
 * connections relative to its other tasks.
 */
const WEIGHT = `${NETWORK_LABEL_PREFIX}weight`;
const WEIGHT_MAX = 100;
const SERVICE_NAME = /^[a-zA-Z0-9][\w-]*$/;
/** A colon would be an IPv6 address. */
const LINK_NAME = /^[^\s/,:]{1,15}$/;

/** The wishes of a spec that was accepted. */
export function networkWishes(spec: ServiceSpec): NetworkWishes {
  let wishes: NetworkWishes = {};
  for (const { name, value } of labelsOf(spec)) {
    const said = LABELS.get(name)?.read(value) ?? {};
    const mesh = said.mesh || wishes.mesh ? { ...wishes.mesh, ...said.mesh } : undefined;
    wishes = { ...wishes, ...said, ...(mesh ? { mesh } : {}) };
  }
  return wishes;
}

/** Undefined: 1. */
export function taskWeight(spec: ServiceSpec): number | undefined {
  const text = spec.TaskTemplate?.ContainerSpec?.Labels?.[WEIGHT];
  return text === undefined ? undefined : Number(text);
}

/** @throws ClusterError `invalid` for a label of ours that is unknown, misplaced or has no meaning */
export function validateNetworkLabels(spec: ServiceSpec): void {
  for (const { name, value } of labelsOf(spec)) {
    const label = `${NETWORK_LABEL_PREFIX}${name}`;
    if (label === WEIGHT) refuse(`label ${WEIGHT} belongs to the container (--container-label)`);
    const known = LABELS.get(name);
    if (!known) refuse(`label ${label} is not known: there are ${[...LABELS.keys()].join(', ')}`);
    if (!known.read(value)) {
      refuse(`label ${label} must be ${known.values}, not ${JSON.stringify(value)}`);
    }
  }
  const weight = taskWeight(spec);
  if (weight === undefined) return;
  if (!Number.isInteger(weight) || weight < 1 || weight > WEIGHT_MAX) {
    refuse(`container label ${WEIGHT} must be a whole number from 1 to ${WEIGHT_MAX}`);
  }
}

/** `192.0.2.1`, `192.0.2.0/24`, or either of IPv6; anything else is a link's name. */
export function isAddressOrPrefix(text: string): boolean {
  return (text.includes('/') ? parseIpBlock(text) : parseIpAddress(text)) !== undefined;
}

function labelsOf(spec: ServiceSpec): readonly { readonly name: string; readonly value: string }[] {
  return Object.entries(spec.Labels ?? {})
    .filter(([label]) => label.startsWith(NETWORK_LABEL_PREFIX))
    .map(([label, value]) => ({ name: label.slice(NETWORK_LABEL_PREFIX.length), value }));
}

function choice(choices: Readonly<Record<string, NetworkWishes>>): Reader {
  return (value) => (Object.hasOwn(choices, value) ? choices[value] : undefined);
}

function readAllowFrom(value: string): NetworkWishes | undefined {
  if (value === 'none') return { allowFrom: [] };
  const allowFrom = value.split(',').map((name) => name.trim());
  return allowFrom.every((name) => SERVICE_NAME.test(name)) ? { allowFrom } : undefined;
}

function readPublishOn(value: string): NetworkWishes | undefined {
  const listenOn = value.split(',').map((place) => place.trim());
  const looksNumeric = (place: string): boolean => /^[\d.]+$/.test(place);
  const isKnown = (place: string): boolean =>
    isAddressOrPrefix(place) || (LINK_NAME.test(place) && !looksNumeric(place));
  return listenOn.every(isKnown) ? { mesh: { listenOn } } : undefined;
}

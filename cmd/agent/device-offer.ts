import { statSync } from 'node:fs';
import type { Logger } from '../../pkg/io/index.ts';
import {
  ClusterError,
  type GenericResource,
  parseGenericResources,
} from '../../pkg/model/index.ts';
import type { AgentConfig } from './config.ts';

/** What tasks may reserve on this host, and which device nodes come with it. */
export interface DeviceOffer {
  /** As the node describes itself. */
  readonly resources: readonly GenericResource[];
  readonly devices: readonly Device[];
}

/** One thing of a kind that one task at a time holds. */
export interface Device {
  readonly kind: string;
  readonly name: string;
  readonly paths: readonly string[];
}

const WORD = /^[A-Za-z0-9][\w.:-]*$/;
const FORM = 'say KIND=/dev/path or KIND=NAME=/dev/path,/dev/path';

/**
 * What `--generic-resource` and `--device` say. A device whose node is not there is not offered, with a warning: a host
 * that lost one goes on with the others, and its tasks move. Throws `ClusterError` for anything else that is not right.
 */
export function readOffer(config: AgentConfig, log: Logger): DeviceOffer {
  const counted = parseGenericResources(config['generic-resource']);
  const devices = parseDevices(config.device).filter((device) => {
    const missing = device.paths.find((path) => !isDeviceNode(device, path));
    if (missing === undefined) return true;
    log.warn('device not offered: no such file', {
      kind: device.kind,
      device: device.name,
      path: missing,
    });
    return false;
  });
  return { resources: resourcesOf(counted, devices), devices };
}

/** `gpu=/dev/nvidia0 gpu=second=/dev/nvidia1,/dev/nvidiactl`: without a name it is that of the first file. */
export function parseDevices(text: string): readonly Device[] {
  const seen = new Set<string>();
  return text
    .split(/\s+/)
    .filter((entry) => entry !== '')
    .map((entry) => {
      const at = entry.indexOf('=/');
      const [kind = '', given, ...more] = entry.slice(0, Math.max(at, 0)).split('=');
      const paths = entry.slice(at + 1).split(',');
      const name = given ?? paths[0]?.split('/').at(-1) ?? '';
      if (at < 0 || more.length > 0) throw problem(entry, FORM);
      for (const word of [kind, name])
        if (!WORD.test(word)) throw problem(entry, `"${word}" is no name; ${FORM}`);
      const relative = paths.find((path) => !/^\/[^/]/.test(path));
      if (relative !== undefined) throw problem(entry, `"${relative}" is no absolute path`);
      if (seen.has(`${kind}=${name}`)) throw problem(entry, `${kind}=${name} is there twice`);
      seen.add(`${kind}=${name}`);
      return { kind, name, paths };
    });
}

/** Throws `ClusterError` for a kind that is offered as a number or as names too. */
export function resourcesOf(
  counted: readonly GenericResource[],
  devices: readonly Device[],
): readonly GenericResource[] {
  const both = counted.find(({ kind }) => devices.some((device) => device.kind === kind));
  if (both) {
    throw new ClusterError(
      'invalid',
      `${both.kind} is offered with --generic-resource and with --device: use one of them for a kind`,
    );
  }
  const kinds = [...new Set(devices.map(({ kind }) => kind))];
  const named = kinds.map((kind) => {
    const names = devices.filter((device) => device.kind === kind).map(({ name }) => name);
    return { kind, amount: names.length, names };
  });
  return [...counted, ...named];
}

/**
 * Paths of the device nodes that come with what a task holds.
 * @throws ClusterError unavailable when this host does not offer it any more
 */
export function devicesOf(
  { resources, devices }: DeviceOffer,
  held: readonly GenericResource[],
): readonly string[] {
  const paths = held.flatMap(({ kind, names = [] }) =>
    names.flatMap((name) => {
      const offered = resources.find((one) => one.kind === kind)?.names?.includes(name);
      if (offered)
        return devices.find((one) => one.kind === kind && one.name === name)?.paths ?? [];
      throw new ClusterError('unavailable', `${kind} ${name} is not offered by this node any more`);
    }),
  );
  return [...new Set(paths)];
}

/** False when there is no such file. */
function isDeviceNode({ kind, name }: Device, path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return false;
  if (found.isCharacterDevice() || found.isBlockDevice()) return true;
  throw problem(`${kind}=${name}`, `${path} is not a device`);
}

function problem(entry: string, why: string): ClusterError {
  return new ClusterError('invalid', `--device ${entry}: ${why}`);
}

import type {
  Config,
  Network,
  Node,
  ObjectIds,
  ObjectKind,
  ObjectTypes,
  Secret,
  Service,
  Task,
  View,
  Volume,
} from '../model/index.ts';
import { slotName, taskName } from '../model/index.ts';
import { invalid, notFound, outOfSequence } from './failure.ts';

/** Full id, then full name, then unique prefix of an id; throws `not-found` or, for several, `invalid`. */
function find<K extends ObjectKind>(
  view: View,
  kind: K,
  asked: string,
  named: (view: View, name: string) => readonly ObjectTypes[K][],
): ObjectTypes[K] {
  const byId = view.get(kind, asked as ObjectIds[K]);
  if (byId) return byId;
  if (asked === '') throw notFound(kind, asked);
  const byName = named(view, asked);
  const matches = byName.length > 0 ? byName : byPrefix(view, kind, asked);
  if (matches.length > 1) {
    throw invalid(`${kind} ${asked} is ambiguous (${matches.length} matches found)`);
  }
  const [only] = matches;
  if (!only) throw notFound(kind, asked);
  return only;
}

function byPrefix<K extends ObjectKind>(view: View, kind: K, asked: string): ObjectTypes[K][] {
  const found: ObjectTypes[K][] = [];
  for (const object of view.list(kind)) if (object.id.startsWith(asked)) found.push(object);
  return found;
}

function optional<T>(value: T | undefined): readonly T[] {
  return value === undefined ? [] : [value];
}

export function findService(view: View, asked: string): Service {
  return find(view, 'service', asked, (tables, name) => optional(tables.byName('service', name)));
}

export function findSecret(view: View, asked: string): Secret {
  return find(view, 'secret', asked, (tables, name) => optional(tables.byName('secret', name)));
}

export function findConfig(view: View, asked: string): Config {
  return find(view, 'config', asked, (tables, name) => optional(tables.byName('config', name)));
}

/** Networks on their way out are not found. */
export function findNetwork(view: View, asked: string): Network {
  const network = find(view, 'network', asked, (tables, name) =>
    optional(tables.byName('network', name)),
  );
  if (network.removing) throw notFound('network', asked);
  return network;
}

export function findVolume(view: View, asked: string): Volume {
  return find(view, 'volume', asked, (tables, name) => optional(tables.byName('volume', name)));
}

/** Nodes go by host name (or the name their spec gives them), which need not be unique. */
export function findNode(view: View, asked: string): Node {
  return find(view, 'node', asked, (tables, name) =>
    [...tables.list('node')].filter((node) => nodeName(node) === name),
  );
}

export function findTask(view: View, asked: string): Task {
  return find(view, 'task', asked, (tables, name) =>
    [...tables.list('task')].filter((task) => slotName(task) === name || taskName(task) === name),
  );
}

export function nodeName(node: Node): string {
  return node.spec.Name || node.description?.hostname || '';
}

/**
 * Refuses a write by a client that has not read the present spec. Versions also grow with status writes, so any
 * version read after the last spec change will do.
 */
export function checkReadVersion(
  object: { readonly version: number; readonly specSeen?: number | undefined },
  asked: number,
): void {
  const floor = object.specSeen === undefined ? 0 : object.specSeen + 1;
  if (asked < floor || asked > object.version) throw outOfSequence();
}

/** The same for what has nothing but its spec to change (configs, secrets): only the present version will do. */
export function checkPresentVersion(object: { readonly version: number }, asked: number): void {
  if (asked !== object.version) throw outOfSequence();
}

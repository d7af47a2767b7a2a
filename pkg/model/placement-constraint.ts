import type { Node } from './node.ts';

/** One parsed line of `Placement.Constraints`: `node.labels.zone == a`. */
export interface PlacementConstraint {
  readonly key: string;
  readonly operator: '==' | '!=';
  readonly value: string;
}

const KEY = /^[a-z_][a-z0-9\-_.]+$/i;
const VALUE = /^[a-z0-9:\-_\s.*()?+[\]\\^$|/]+$/i;
const NODE_LABEL = 'node.labels.';
const ENGINE_LABEL = 'engine.labels.';

/** The constraint, or why the text is none: SwarmKit's words (its constraint parser), without prefix. */
export function parseConstraint(text: string): PlacementConstraint | { readonly error: string } {
  for (const operator of ['==', '!='] as const) {
    const at = text.indexOf(operator);
    if (at < 0) continue;
    const key = text.slice(0, at).trim();
    const value = text.slice(at + operator.length).trim();
    if (!KEY.test(key)) return { error: `key '${key}' is invalid` };
    if (!VALUE.test(value)) return { error: `value '${value}' is invalid` };
    return { key, operator, value };
  }
  return { error: 'constraint expected one operator from ==, !=' };
}

/** Does the node satisfy every constraint? An unreadable or unknown constraint is satisfied by no node. */
export function nodeSatisfies(node: Node, constraints: readonly string[]): boolean {
  return constraints.every((text) => {
    const constraint = parseConstraint(text);
    return !('error' in constraint) && satisfiesOne(node, constraint);
  });
}

function satisfiesOne(node: Node, constraint: PlacementConstraint): boolean {
  const key = constraint.key.toLowerCase();
  if (key === 'node.ip') return compared(constraint, addressMatches(node, constraint.value));
  const actual = attributeOf(node, constraint.key, key);
  if (actual === undefined) return false;
  const wanted = key === 'node.platform.arch' ? architecture(constraint.value) : constraint.value;
  return compared(constraint, actual.toLowerCase() === wanted.toLowerCase());
}

/** undefined: no node has such an attribute at all. Label keys keep their case. */
function attributeOf(node: Node, key: string, lower: string): string | undefined {
  if (lower.startsWith(NODE_LABEL)) return node.spec.Labels?.[key.slice(NODE_LABEL.length)] ?? '';
  if (lower.startsWith(ENGINE_LABEL)) {
    return node.description?.engineLabels[key.slice(ENGINE_LABEL.length)] ?? '';
  }
  const attributes: ReadonlyMap<string, string> = new Map([
    ['node.id', node.id],
    ['node.hostname', node.description?.hostname ?? ''],
    ['node.role', node.spec.Role],
    ['node.platform.os', node.description?.os ?? ''],
    ['node.platform.arch', architecture(node.description?.architecture ?? '')],
  ]);
  return attributes.get(lower);
}

function compared({ operator }: PlacementConstraint, equal: boolean): boolean {
  return operator === '==' ? equal : !equal;
}

/** One name per architecture: Go's, uname's and Docker's spellings mean the same machine. */
export function architecture(name: string): string {
  const lower = name.toLowerCase();
  if (lower === 'x86_64' || lower === 'x86-64') return 'amd64';
  return lower === 'aarch64' ? 'arm64' : lower;
}

function addressMatches(node: Node, wanted: string): boolean {
  const [network = '', prefix] = wanted.split('/');
  const address = ipv4Number(node.status.address);
  const base = ipv4Number(network);
  if (address === undefined || base === undefined) return node.status.address === wanted;
  const bits = prefix === undefined ? 32 : Number(prefix);
  if (!Number.isInteger(bits) || bits < 0 || bits > 32) return false;
  const size = 2 ** (32 - bits);
  return Math.floor(address / size) === Math.floor(base / size);
}

function ipv4Number(text: string): number | undefined {
  const parts = text.split('.').map(Number);
  const valid = parts.every((part) => Number.isInteger(part) && part >= 0 && part < 256);
  if (parts.length !== 4 || !valid) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

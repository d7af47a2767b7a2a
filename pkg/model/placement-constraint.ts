import type { Node } from './node.ts';
import { parsePattern } from './pattern.ts';

/** One parsed line of `Placement.Constraints`: `node.labels.zone == a`. */
export interface PlacementConstraint {
  readonly key: string;
  readonly operator: Operator;
  /** Empty for `exists` and `!exists`. */
  readonly value: string;
}

/** The first two are Docker's. */
type Operator = '==' | '!=' | 'in' | 'not in' | '<' | '>' | '=~' | '!~' | 'exists' | '!exists';

const KEY = /^[a-z_][a-z0-9\-_.]+$/i;
const VALUE = /^[a-z0-9:\-_\s.*()?+[\]\\^$|/]+$/i;
const COMPARED = /^\s*([a-z_][a-z0-9\-_.]+)\s*(=~|!~|<|>|\s(?:not\s+)?in\s)\s*(.*?)\s*$/i;
const PRESENT = /^\s*([a-z_][a-z0-9\-_.]+)\s+(!?exists)\s*$/i;
const NODE_LABEL = 'node.labels.';
const ENGINE_LABEL = 'engine.labels.';
const KEYS: ReadonlySet<string> = new Set([
  'node.id',
  'node.hostname',
  'node.ip',
  'node.role',
  'node.platform.os',
  'node.platform.arch',
]);

/** The constraint, or why the text is none: SwarmKit's words (its constraint parser), without prefix. */
export function parseConstraint(text: string): PlacementConstraint | { readonly error: string } {
  const present = PRESENT.exec(text);
  if (present) {
    return { key: present[1] ?? '', operator: present[2]?.toLowerCase() as Operator, value: '' };
  }
  const compared = COMPARED.exec(text);
  if (compared) return parseComparison(compared);
  for (const operator of ['==', '!='] as const) {
    const at = text.indexOf(operator);
    if (at < 0) continue;
    const key = text.slice(0, at).trim();
    const value = text.slice(at + operator.length).trim();
    if (!KEY.test(key)) return { error: `key '${key}' is invalid` };
    if (!VALUE.test(value)) return { error: `value '${value}' is invalid` };
    return { key, operator, value };
  }
  return {
    error:
      'constraint expected one operator from ==, != (or in, not in, <, >, =~, !~, exists, !exists)',
  };
}

/** A constraint about something that every node has, or `service==NAME`; else why it is none. */
export function parseExpression(text: string): PlacementConstraint | { readonly error: string } {
  const parsed = parseConstraint(text);
  if ('error' in parsed) return parsed;
  const key = parsed.key.toLowerCase();
  const known = KEYS.has(key) || key.startsWith(NODE_LABEL) || key.startsWith(ENGINE_LABEL);
  return known || key === 'service' ? parsed : { error: `key '${parsed.key}' is not known` };
}

function parseComparison([, key = '', sign = '', value = '']: RegExpExecArray):
  | PlacementConstraint
  | { readonly error: string } {
  const operator = sign.trim().toLowerCase().replace(/\s+/, ' ') as Operator;
  if (value === '') return { error: `value '' is invalid` };
  if ((operator === '<' || operator === '>') && !Number.isFinite(Number(value))) {
    return { error: `value '${value}' of ${operator} is not a number` };
  }
  const pattern = operator === '=~' || operator === '!~' ? parsePattern(value) : undefined;
  return pattern && 'error' in pattern ? pattern : { key, operator, value };
}

/** Does the node satisfy every constraint? An unreadable or unknown constraint is satisfied by no node. */
export function nodeSatisfies(node: Node, constraints: readonly string[]): boolean {
  return constraints.every((text) => {
    const constraint = parseConstraint(text);
    return !('error' in constraint) && nodeMatches(node, constraint);
  });
}

/** Does the node satisfy this one? */
export function nodeMatches(node: Node, constraint: PlacementConstraint): boolean {
  const key = constraint.key.toLowerCase();
  const actual = key === 'node.ip' ? node.status.address : attributeOf(node, constraint.key, key);
  if (actual === undefined) return false;
  return holds(constraint, actual, (wanted) => {
    if (key === 'node.ip') return addressMatches(node, wanted);
    const name = key === 'node.platform.arch' ? architecture(wanted) : wanted;
    return actual.toLowerCase() === name.toLowerCase();
  });
}

function holds(
  { operator, value }: PlacementConstraint,
  actual: string,
  equals: (wanted: string) => boolean,
): boolean {
  const among = (): boolean => value.split(',').some((one) => equals(one.trim()));
  switch (operator) {
    case '==':
      return equals(value);
    case '!=':
      return !equals(value);
    case 'in':
      return among();
    case 'not in':
      return !among();
    case 'exists':
      return actual !== '';
    case '!exists':
      return actual === '';
    case '=~':
      return matchesPattern(actual, value);
    case '!~':
      return !matchesPattern(actual, value);
    case '<':
      return compareNumbers(actual, value) < 0;
    default:
      return compareNumbers(actual, value) > 0;
  }
}

function matchesPattern(text: string, source: string): boolean {
  const pattern = parsePattern(source);
  return !('error' in pattern) && pattern.matches(text);
}

/** NaN when either is not a number: then nothing is smaller or greater. */
function compareNumbers(left: string, right: string): number {
  return left.trim() === '' ? Number.NaN : Number(left) - Number(right);
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

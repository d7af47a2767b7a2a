import type { EngineEvent } from './engine.ts';
import { type Filters, hasLabel } from './filters.ts';

export const EVENT_FILTERS = [
  'config',
  'container',
  'daemon',
  'event',
  'image',
  'label',
  'network',
  'node',
  'plugin',
  'scope',
  'secret',
  'service',
  'type',
  'volume',
];
const OBJECT_FILTERS = [
  'config',
  'container',
  'image',
  'network',
  'node',
  'secret',
  'service',
  'volume',
];

const NANOS_PER_S = 1_000_000_000n;

/** One line of `GET /events`. Times exceed what a JSON number holds exactly in JavaScript, so the digits are pasted. */
export function renderEvent(event: EngineEvent): string {
  const { Type, Action, Actor, scope, timeNs } = event;
  const container = Type === 'container' && {
    status: Action,
    id: Actor.ID,
    from: Actor.Attributes['image'] ?? '',
  };
  const head = JSON.stringify({ ...container, Type, Action, Actor, scope });
  return `${head.slice(0, -1)},"time":${timeNs / NANOS_PER_S},"timeNano":${timeNs}}\n`;
}

export function matchesEvent(event: EngineEvent, filters: Filters): boolean {
  return (
    filters.exact('type', event.Type) &&
    filters.exact('scope', event.scope) &&
    filters.any(
      'event',
      (value) => event.Action === value || event.Action.startsWith(`${value}:`),
    ) &&
    filters.values('label').every((wanted) => hasLabel(event.Actor.Attributes, wanted)) &&
    matchesObject(event, filters)
  );
}

/** `service=web`: only events of that type whose id or name it is. */
function matchesObject(event: EngineEvent, filters: Filters): boolean {
  const asked = OBJECT_FILTERS.filter((type) => filters.has(type));
  if (asked.length === 0) return true;
  const { ID, Attributes } = event.Actor;
  const names = [Attributes['name'], Attributes['image']];
  return asked.some(
    (type) =>
      type === event.Type &&
      filters.any(type, (value) => ID.startsWith(value) || names.includes(value)),
  );
}

import type { ServiceSpec } from './service-spec.ts';
import { refuse } from './validate-refuse.ts';

/** So many of a kind, or these of it by name: what a node offers, and what a task holds (`gpu`: 2, or `gpu`: [a, b]). */
export interface GenericResource {
  readonly kind: string;
  readonly amount: number;
  /** As many as `amount`, where the node names them. */
  readonly names?: readonly string[] | undefined;
}

/** The Engine API's form. */
interface GenericResourceSpec {
  readonly DiscreteResourceSpec?:
    | { readonly Kind?: string | undefined; readonly Value?: number | undefined }
    | null
    | undefined;
  readonly NamedResourceSpec?: object | null | undefined;
}

/** What a task of the spec takes of each kind. */
export function genericReservations(spec: ServiceSpec): readonly GenericResource[] {
  const asked = spec.TaskTemplate?.Resources?.Reservations?.GenericResources ?? [];
  return (asked as readonly GenericResourceSpec[]).flatMap(({ DiscreteResourceSpec: one }) =>
    one?.Kind && one.Value ? [{ kind: one.Kind, amount: one.Value }] : [],
  );
}

/** Throws `ClusterError` (400) unless every reservation is a positive number of a kind, each kind once. */
export function validateGenericReservations(asked: readonly unknown[]): void {
  const kinds = new Set<string>();
  for (const entry of asked as readonly GenericResourceSpec[]) {
    const { DiscreteResourceSpec: one, NamedResourceSpec: named } = entry ?? {};
    if (named) refuse('TaskSpec: generic resources are reserved by number, not by name');
    const { Kind: kind = '', Value: amount = 0 } = one ?? {};
    if (kind === '' || !Number.isSafeInteger(amount) || amount < 1) {
      refuse(`TaskSpec: invalid generic resource ${kind || '(without a kind)'}=${amount}`);
    }
    if (kinds.has(kind)) refuse(`TaskSpec: generic resource ${kind} is reserved twice`);
    kinds.add(kind);
  }
}

/**
 * `gpu=2` or `gpu=a,gpu=b` as a node offers it. Throws `ClusterError` for a pair without value, and for a kind with
 * both a number and names.
 */
export function parseGenericResources(text: string): readonly GenericResource[] {
  const values = new Map<string, string[]>();
  for (const pair of text.split(',').map((part) => part.trim())) {
    if (pair === '') continue;
    const [, kind, value] = /^([^=\s]+)=([^=\s]+)$/.exec(pair) ?? [];
    if (!kind || !value) refuse(`generic resource "${pair}": say kind=number or kind=name`);
    values.set(kind, [...(values.get(kind) ?? []), value]);
  }
  return [...values].map(([kind, list]) => {
    const numbers = list.filter((value) => /^-?\d+$/.test(value));
    if (numbers.length === 0) return { kind, amount: list.length, names: list };
    const amount = Number(numbers[0]);
    if (list.length > 1 || amount < 0) {
      refuse(`generic resource ${kind}: one number from 0, or names; not ${list.join(', ')}`);
    }
    return { kind, amount };
  });
}

/**
 * What a task that takes `asked` gets from a node that offers `offered`, while others hold `held`: the first free names
 * where there are names. Undefined when it is not enough.
 */
export function claimGeneric(
  offered: readonly GenericResource[],
  held: readonly GenericResource[],
  asked: readonly GenericResource[],
): readonly GenericResource[] | undefined {
  const claims: GenericResource[] = [];
  for (const { kind, amount } of asked) {
    const offer = offered.find((one) => one.kind === kind);
    const mine = held.filter((one) => one.kind === kind);
    const free = (offer?.amount ?? 0) - mine.reduce((sum, one) => sum + one.amount, 0);
    if (amount > free) return undefined;
    const taken = new Set(mine.flatMap(({ names }) => names ?? []));
    const names = offer?.names?.filter((name) => !taken.has(name)).slice(0, amount);
    claims.push({ kind, amount, names });
  }
  return claims;
}

/** `DOCKER_RESOURCE_GPU=a,b` for every kind: how a container learns what it has. */
export function genericEnvironment(claims: readonly GenericResource[]): readonly string[] {
  return claims.map(
    ({ kind, amount, names }) =>
      `${`DOCKER_RESOURCE_${kind}`.toUpperCase()}=${names?.join(',') ?? amount}`,
  );
}

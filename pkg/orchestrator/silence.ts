import {
  type DeciderInput,
  type InstantMs,
  isTerminal,
  type Node,
  type NodeSilence,
  servicePolicy,
} from '../model/index.ts';

/** What is to be noted of a node's silence, and when more will be. */
export interface Silence {
  readonly silence: NodeSilence | undefined;
  readonly due?: InstantMs | undefined;
}

/**
 * How long a node that is down has been silent, as far as fences of its tasks wait for it. A new leader, whose monotonic
 * clock is another one, counts from its own beginning; what was noted before stays true.
 */
export function countSilence(input: DeciderInput, node: Node): Silence {
  const { dirty, monotonicMs, now } = input;
  const before = node.status.silence;
  const fences = [...fencesOf(input, node)];
  if (fences.length === 0) return { silence: before };
  const begins = before === undefined || dirty.cluster;
  const begun = begins ? { fromMs: Math.ceil(monotonicMs), ms: before?.ms ?? 0 } : before;
  const elapsedMs = monotonicMs - begun.fromMs;
  const awaited = fences.filter((fenceMs) => fenceMs > begun.ms);
  const later = awaited.filter((fenceMs) => fenceMs > elapsedMs);
  const over = later.length < awaited.length;
  return {
    silence: over ? { ...begun, ms: Math.floor(elapsedMs) } : begun,
    due: later.length === 0 ? undefined : instantIn(now, Math.min(...later) - elapsedMs),
  };
}

/** Of tasks that may live on a node that is down. Milliseconds. */
function* fencesOf({ view }: DeciderInput, node: Node): Iterable<number> {
  if (node.status.state !== 'down') return;
  for (const task of view.tasksOfNode(node.id)) {
    if (isTerminal(task.status.state)) continue;
    const spec = view.revision(task.serviceId, task.specVersion)?.spec;
    const { fenceMs } = spec ? servicePolicy(spec) : { fenceMs: 0 };
    if (fenceMs > 0) yield fenceMs;
  }
}

function instantIn(now: InstantMs, ms: number): InstantMs {
  return (now + Math.ceil(ms)) as InstantMs;
}

import type { Node, ServiceSpec } from '../model/index.ts';

/** The node attributes to spread over, outermost first: `node.labels.zone`. */
export function spreadKeys(spec: ServiceSpec): readonly string[] {
  const preferences = spec.TaskTemplate?.Placement?.Preferences ?? [];
  return preferences.flatMap(({ Spread }) =>
    Spread?.SpreadDescriptor ? [Spread.SpreadDescriptor] : [],
  );
}

/** The branch a node belongs to; nodes without the label share one. */
export function spreadValue(node: Node, key: string): string {
  const lower = key.toLowerCase();
  if (lower.startsWith('node.labels.')) {
    return node.spec.Labels?.[key.slice('node.labels.'.length)] ?? '';
  }
  if (lower.startsWith('engine.labels.')) {
    return node.description?.engineLabels[key.slice('engine.labels.'.length)] ?? '';
  }
  return '';
}

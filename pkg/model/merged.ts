/**
 * What is in `base`, as the edits have it (undefined: not there), then what they add to it. Made while it is walked
 * through, so that whoever walks slowly may pause.
 * @param belongs whether an edited object is in the list at all
 */
export function* merged<T extends { readonly id: string }>(
  base: Iterable<T>,
  edits: ReadonlyMap<string, T | undefined>,
  belongs: (edited: T) => boolean = () => true,
): Iterable<T> {
  const seen = new Set<string>();
  for (const object of base) {
    if (!edits.has(object.id)) {
      yield object;
      continue;
    }
    seen.add(object.id);
    const edited = edits.get(object.id);
    if (edited && belongs(edited)) yield edited;
  }
  for (const [id, object] of edits) if (object && !seen.has(id) && belongs(object)) yield object;
}

import { MAP_SHAPES, type MapName } from '../connect/maps.ts';
import type { ConnectHooks } from './connect-hooks.ts';

/** Maps in memory; no socket ever asks. */
export class FakeConnectHooks implements ConnectHooks {
  readonly #maps = new Map<MapName, Map<string, string>>();
  isAttached = false;

  put(map: MapName, key: Buffer, value: Buffer): boolean {
    const entries = this.#map(map);
    const text = key.toString('hex');
    if (!entries.has(text) && entries.size >= MAP_SHAPES[map].capacity) return false;
    entries.set(text, value.toString('hex'));
    return true;
  }

  delete(map: MapName, key: Buffer): void {
    this.#map(map).delete(key.toString('hex'));
  }

  entries(map: MapName): ReadonlyMap<string, string> {
    return new Map(this.#map(map));
  }

  attach(): number {
    const missing = this.missing();
    this.isAttached = true;
    return missing;
  }

  missing(): number {
    return this.isAttached ? 0 : 4;
  }

  detach(): void {
    this.isAttached = false;
  }

  [Symbol.dispose](): void {
    this.#maps.clear();
  }

  #map(name: MapName): Map<string, string> {
    const known = this.#maps.get(name) ?? new Map<string, string>();
    this.#maps.set(name, known);
    return known;
  }
}

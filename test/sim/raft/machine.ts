import type { Entry, Index, Snapshot } from 'raft-js';
import type { RegisterInput, RegisterOutput } from '../../linearizable/named-register.ts';

/** What goes through the log. */
export type Write = Extract<RegisterInput, { readonly text: string }>;

interface State {
  readonly hash: number;
  readonly texts: readonly (readonly [string, string])[];
}

/** The state machine of one node: named texts, and a running hash over everything that was applied. */
export class Machine {
  /** The last index applied. */
  index: Index = 0;
  hash = 0;
  #texts = new Map<string, string>();

  /** @returns which call the entry came from and what it did; undefined for entries without one */
  apply(entry: Entry): { readonly call: number; readonly output: RegisterOutput } | undefined {
    this.index = entry.index;
    this.hash = mix(this.hash, entry);
    if (entry.type !== 'EntryNormal' || entry.data === null || entry.data.length === 0) return;
    const { call, input } = decodeCall(entry.data);
    return { call, output: this.#take(input) };
  }

  read(name: string): RegisterOutput {
    const text = this.#texts.get(name);
    return text === undefined ? { kind: 'absent' } : { kind: 'found', text };
  }

  encode(): Uint8Array {
    const state: State = { hash: this.hash, texts: [...this.#texts] };
    return new TextEncoder().encode(JSON.stringify(state));
  }

  /** Empty data is the state before any entry. */
  restore({ index, data }: Pick<Snapshot, 'index' | 'data'>): void {
    const text = data.length === 0 ? '{"hash":0,"texts":[]}' : new TextDecoder().decode(data);
    const state = JSON.parse(text) as State;
    this.index = index;
    this.hash = state.hash;
    this.#texts = new Map(state.texts);
  }

  #take(input: Write): RegisterOutput {
    const present = this.#texts.get(input.name);
    if (input.kind === 'create' && present !== undefined) return { kind: 'refused' };
    if (input.kind === 'swap' && present === undefined) return { kind: 'absent' };
    if (input.kind === 'swap' && present !== input.expected) return { kind: 'refused' };
    this.#texts.set(input.name, input.text);
    return { kind: 'done' };
  }
}

/** Short, because the limits of the core are drawn for entries of a few bytes. */
export function encodeCall(call: number, input: Write): Uint8Array {
  const expected = input.kind === 'swap' ? input.expected : '';
  return new TextEncoder().encode([call, input.name, expected, input.text].join(' '));
}

function decodeCall(data: Uint8Array): { call: number; input: Write } {
  const [call, name = '', expected = '', text = ''] = new TextDecoder().decode(data).split(' ');
  const input: Write =
    expected === '' ? { kind: 'create', name, text } : { kind: 'swap', name, expected, text };
  return { call: Number(call), input };
}

/** FNV-1a over the entry, continuing from `state`. */
function mix(state: number, entry: Entry): number {
  let hash = (state ^ 0x811c9dc5 ^ entry.index ^ (entry.term << 16)) >>> 0;
  for (const byte of entry.data ?? []) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return Math.imul(hash ^ entry.index, 0x01000193) >>> 0;
}

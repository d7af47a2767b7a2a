/** Whole scenarios, written down as scripts in `testdata`: read them as examples of who sends what to whom. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Command, replay } from '../../test/datadriven.ts';
import type { ConfChangeSingle } from './conf-change-codec.ts';
import { hasCode } from './error.ts';
import { type ConfState, EMPTY_CONF_STATE, type Message } from './message.ts';
import { TestGroup } from './test-group.ts';

const folder = new URL('./testdata/', import.meta.url);

for (const name of readdirSync(folder)) {
  test(name, async () => {
    const file = new URL(name, folder);
    const scenario = new Scenario();
    const replayed = replay(readFileSync(file, 'utf8'), (command) => scenario.run(command));
    await expect(replayed).toMatchFileSnapshot(file.pathname);
  });
}

const ids = (text = ''): number[] => (text === '' ? [] : text.split(',').map(Number));

class Scenario {
  #group = new TestGroup({ voters: [1] });
  /** Nodes that nothing reaches and that reach nothing. */
  #cut = new Set<number>();

  run({ name, words, options, input }: Command): string {
    const id = Number(words[0]);
    const group = this.#group;
    const commands: Record<string, () => string> = {
      group: () => this.#create(options),
      cut: () => this.#partition(ids(words[0])),
      campaign: () => this.#sends(() => group.node(id).campaign()),
      propose: () => this.#sends(() => group.propose(id, words[1] ?? '')),
      change: () => this.#sends(() => this.#change(id, options, input)),
      transfer: () => this.#sends(() => group.node(id).transferLeader(Number(options.get('to')))),
      read: () => this.#sends(() => group.node(id).readIndex(new Uint8Array([1]))),
      tick: () => this.#sends(() => group.tick(id, Number(options.get('count') ?? 1))),
      run: () => this.#sends(() => group.run(Number(words[0]))),
      snapshot: () => this.#snapshot(id),
      state: () => this.#state(),
    };
    const command = commands[name];
    if (command === undefined) throw new Error(`unknown command ${name}`);
    return command();
  }

  #create(options: ReadonlyMap<string, string>): string {
    this.#cut = new Set();
    this.#group = new TestGroup({
      voters: ids(options.get('voters')),
      learners: ids(options.get('learners')),
      strangers: ids(options.get('strangers')),
    });
    return 'ok';
  }

  #partition(nodes: readonly number[]): string {
    this.#cut = new Set(nodes);
    this.#group.filter((m) => this.#passes(m));
    return nodes.length === 0 ? 'healed' : `without ${nodes.join(' ')}`;
  }

  #passes(m: Message): boolean {
    return !this.#cut.has(m.from) && !this.#cut.has(m.to);
  }

  /** Does something and shows every message that comes of it. */
  #sends(act: () => void): string {
    const { sent } = this.#group;
    sent.length = 0;
    try {
      act();
    } catch (error) {
      if (hasCode(error, 'ErrProposalDropped')) return 'dropped';
      throw error;
    }
    this.#group.settle();
    const lines = sent.map((m) => `${describe(m)}${this.#passes(m) ? '' : ' (lost)'}`);
    return lines.length === 0 ? 'silence' : lines.join('\n');
  }

  #change(id: number, options: ReadonlyMap<string, string>, input: readonly string[]): void {
    const changes = input.map((line): ConfChangeSingle => {
      const [type, nodeId] = line.split(' ');
      return { type: type as ConfChangeSingle['type'], nodeId: Number(nodeId) };
    });
    const transition = options.get('transition') as 'auto' | 'implicit' | 'explicit' | undefined;
    this.#group.node(id).proposeConfChange({ transition, changes });
  }

  #snapshot(id: number): string {
    const { node, storage } = this.#group.member(id);
    const { applied: index, config } = node.status();
    const term = storage.term(index);
    storage.createSnapshot({ index, term, confState: config, data: new Uint8Array(0) });
    storage.compact(index);
    return `at ${index}`;
  }

  #state(): string {
    const lines = [...this.#group.members.values()].map(({ id, node }) => {
      const { raftState, term, commit, applied, lead, config } = node.status();
      const role = raftState.replace('State', '').toLowerCase();
      return `${id}: ${role} of term ${term}, leader ${lead}, commit ${commit}, applied ${applied}, ${configText(config)}`;
    });
    return lines.join('\n');
  }
}

function configText(config: ConfState): string {
  const lists = Object.entries({ ...EMPTY_CONF_STATE, ...config })
    .filter(([, value]) => Array.isArray(value) && value.length > 0)
    .map(([key, value]) => `${key} ${String(value)}`);
  return lists.length === 0 ? 'no configuration' : lists.join(', ');
}

function describe(m: Message): string {
  const parts = [`${m.from}>${m.to} ${m.type} term ${m.term ?? 0}`];
  const entries = m.entries ?? [];
  if (m.index !== undefined) parts.push(`at ${m.logTerm ?? 0}/${m.index}`);
  if (entries.length > 0)
    parts.push(`entries ${entries.map((e) => `${e.term}/${e.index}`).join(' ')}`);
  if (m.snapshot != null) parts.push(`snapshot ${m.snapshot.term}/${m.snapshot.index}`);
  if (m.commit !== undefined) parts.push(`commit ${m.commit}`);
  if (m.reject === true) parts.push('refused');
  return parts.join(', ');
}

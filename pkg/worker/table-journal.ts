import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../io/index.ts';
import type { NetworkId, NetworkTable } from '../model/index.ts';
import type { AssignmentChanges } from '../rpc/index.ts';
import { nextTables } from './network-table.ts';

const FILE = 'networks.jsonl';
const MODE = 0o600;
/** Changes are added up to as much as the tables themselves take, or this many bytes. */
const CHANGES_MIN_BYTES = 64 * 1024;

type TableChanges = Pick<AssignmentChanges, 'networks' | 'networkPatches' | 'removedNetworks'>;
type Tables = ReadonlyMap<NetworkId, NetworkTable>;

/** The network tables, for an agent that starts again without any manager. */
export interface TableFile {
  /** What was kept last. */
  read(): readonly NetworkTable[];
  /** @param changes what led to these tables from those kept last; nothing when they are to be written as a whole */
  keep(tables: Tables, changes?: TableChanges): void;
}

/**
 * One line with all tables, then a line for each message that changed some: what a change costs does not grow with the
 * tables. A change survives the agent at once, and the machine some time later: its containers do not survive that either.
 */
export class TableJournal implements TableFile {
  readonly #path: string;
  /** Bytes that may still be added; none until all tables were written. */
  #room = 0;

  constructor(directory: string) {
    this.#path = join(directory, FILE);
  }

  /** A line that was cut off by a crash is as if it had not come. */
  read(): readonly NetworkTable[] {
    if (!existsSync(this.#path)) return [];
    let tables: Tables = new Map();
    for (const line of readFileSync(this.#path, 'utf8').split('\n').slice(0, -1)) {
      tables = nextTables(tables, JSON.parse(line) as TableChanges);
    }
    return [...tables.values()];
  }

  keep(tables: Tables, changes?: TableChanges): void {
    const line = changes && lineOf(changes);
    if (line === undefined || line.length > this.#room) this.#replace(tables);
    else this.#append(line);
  }

  #append(line: string): void {
    const room = this.#room - line.length;
    // Whatever comes next to a part of a line is written as a whole.
    this.#room = 0;
    appendFileSync(this.#path, line, { mode: MODE });
    this.#room = room;
  }

  #replace(tables: Tables): void {
    const networks = [...tables.values()];
    const line = lineOf({ networks, networkPatches: [], removedNetworks: [] });
    writeFileAtomic(this.#path, line, MODE);
    this.#room = Math.max(line.length, CHANGES_MIN_BYTES);
  }
}

function lineOf({ networks, networkPatches, removedNetworks }: TableChanges): string {
  return `${JSON.stringify({ networks, networkPatches, removedNetworks })}\n`;
}

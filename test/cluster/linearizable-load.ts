import { setTimeout as pause } from 'node:timers/promises';
import { request } from '../../deploy/lab/api.ts';
import type { History } from '../linearizable/history.ts';
import type { RegisterInput, RegisterOutput } from '../linearizable/named-register.ts';

export type ConfigHistory = History<RegisterInput, RegisterOutput>;

export interface ConfigJson {
  readonly ID: string;
  readonly Version: { readonly Index: number };
  readonly Spec: { readonly Name: string; readonly Labels: Readonly<Record<string, string>> };
}

export interface LoadOptions {
  /** API sockets; a client stays with one and goes to the next when it does not answer. */
  readonly sockets: readonly string[];
  readonly history: ConfigHistory;
  readonly random: () => number;
  readonly signal: AbortSignal;
}

interface Read {
  readonly config: ConfigJson;
  readonly text: string;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

const OWN_TIMEOUT_MS = 5000;
const SHARED_NAMES = 6;
const AFTER_ERROR_MS = 20;
const DATA = Buffer.alloc(256, 'x').toString('base64');

/** Counts what went which way; a run that met no failure proves little. */
export interface Counts {
  done: number;
  refused: number;
  unknown: number;
  reads: number;
}

/**
 * One client: creates configs under names of its own and under names that others want too, replaces labels of what it
 * read by `?version=N`, and reads. The text of the register is the label `text`.
 */
export class ConfigClient {
  readonly #id: number;
  readonly #options: LoadOptions;
  readonly #round: string;
  readonly #read = new Map<string, Read>();
  readonly #unsure: string[] = [];
  readonly counts: Counts = { done: 0, refused: 0, unknown: 0, reads: 0 };
  #made = 0;
  #socket: number;

  constructor(id: number, round: string, options: LoadOptions) {
    this.#id = id;
    this.#options = options;
    this.#round = round;
    this.#socket = id;
  }

  async run(): Promise<void> {
    const { signal, random } = this.#options;
    while (!signal.aborted) {
      const draw = random();
      if (draw < 0.35) await this.#create(this.#ownName());
      else if (draw < 0.45) await this.#create(this.#sharedName());
      else if (draw < 0.75) await this.#readOne(this.#sharedName());
      else await this.#swap(this.#sharedName());
    }
  }

  #ownName(): string {
    // What has an unknown outcome is tried once more, as a person would.
    return this.#unsure.pop() ?? `r${this.#round}-c${this.#id}-${this.#made++}`;
  }

  #sharedName(): string {
    return `r${this.#round}-s${Math.floor(this.#options.random() * SHARED_NAMES)}`;
  }

  #newText(): string {
    return `c${this.#id}-t${this.#made++}`;
  }

  async #create(name: string): Promise<void> {
    const text = this.#newText();
    const call = this.#options.history.call(this.#id, { kind: 'create', name, text });
    const body = { Name: name, Labels: { text }, Data: DATA };
    const answer = await this.#send('POST', '/configs/create', body);
    if (answer?.status === 201) this.#close(call, { kind: 'done' });
    else if (answer?.status === 409) this.#close(call, { kind: 'refused' });
    else if (name.includes('-c')) this.#unsure.push(name);
  }

  async #readOne(name: string): Promise<void> {
    const call = this.#options.history.call(this.#id, { kind: 'read', name });
    const answer = await this.#send('GET', `/configs/${name}`);
    if (answer?.status === 200) {
      const config = JSON.parse(answer.text) as ConfigJson;
      const text = config.Spec.Labels['text'] ?? '';
      this.#read.set(name, { config, text });
      this.#close(call, { kind: 'found', text });
    } else if (answer?.status === 404) this.#close(call, { kind: 'absent' });
    else call.nothing();
  }

  async #swap(name: string): Promise<void> {
    const seen = this.#read.get(name);
    if (seen === undefined) return;
    this.#read.delete(name);
    const text = this.#newText();
    const input = { kind: 'swap', name, expected: seen.text, text } as const;
    const call = this.#options.history.call(this.#id, input);
    const path = `/configs/${seen.config.ID}/update?version=${seen.config.Version.Index}`;
    const answer = await this.#send('POST', path, { ...seen.config.Spec, Labels: { text } });
    if (answer?.status === 200) this.#close(call, { kind: 'done' });
    else if (answer?.status === 404) this.#close(call, { kind: 'absent' });
    else if (answer?.text.includes('update out of sequence'))
      this.#close(call, { kind: 'refused' });
  }

  #close(call: { returned(output: RegisterOutput): void }, output: RegisterOutput): void {
    if (output.kind === 'found' || output.kind === 'absent') this.counts.reads++;
    else this.counts[output.kind]++;
    call.returned(output);
  }

  /** Undefined, and another manager next time, when what became of it is not known. */
  async #send(method: string, path: string, body?: unknown): Promise<Answer | undefined> {
    const { sockets, signal } = this.#options;
    const socket = sockets[this.#socket % sockets.length] ?? '';
    const late = AbortSignal.timeout(OWN_TIMEOUT_MS);
    const gaveUp = new Promise<undefined>((resolve) =>
      late.addEventListener('abort', () => resolve(undefined)),
    );
    const asked = request(socket, method, path, body).catch(() => undefined);
    const answer = await Promise.race([asked, gaveUp]);
    const told = answer?.text.includes('update out of sequence') === true;
    if (answer !== undefined && (told || answer.status < 500)) return answer;
    this.counts.unknown++;
    this.#socket++;
    await pause(AFTER_ERROR_MS, undefined, { signal }).catch(() => undefined);
    return undefined;
  }
}

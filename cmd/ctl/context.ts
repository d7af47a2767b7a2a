import type { Client } from './client.ts';
import type { Environment } from './config.ts';
import type { Output } from './output.ts';

/** What every verb is handed. */
export interface Context {
  readonly client: Client;
  readonly output: Output;
  readonly environment: Environment;
}

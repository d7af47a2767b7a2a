import type { ConfigId, InstantMs, SecretId, Version } from './id.ts';

/** The Engine API's SecretSpec and ConfigSpec. `Data` is base64 (RFC 4648 §4). */
export interface SecretSpec {
  readonly Name: string;
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  readonly Data?: string | undefined;
  readonly Driver?: unknown;
  readonly Templating?: { readonly Name: string } | null | undefined;
}
export type ConfigSpec = Omit<SecretSpec, 'Driver'>;

export interface Secret {
  readonly id: SecretId;
  readonly version: Version;
  readonly createdAt: InstantMs;
  readonly updatedAt: InstantMs;
  readonly spec: SecretSpec;
}

export interface Config {
  readonly id: ConfigId;
  readonly version: Version;
  readonly createdAt: InstantMs;
  readonly updatedAt: InstantMs;
  readonly spec: ConfigSpec;
}

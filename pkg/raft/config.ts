import { RaftError } from './error.ts';
import { type Index, LOCAL_APPLY, NONE, type NodeId } from './message.ts';
import type { Storage } from './storage.ts';

/** Receives sentences for people; nothing in them is an interface. */
export interface Logger {
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
  fatal(text: string): void;
}

/** How a node is set up. Everything optional has the default named with it. */
export interface Config {
  /** This node. Random and never reused: a node that lost its disk must come back under another id. */
  readonly id: NodeId;
  readonly storage: Storage;
  /** In [0, 1). The only source of randomness, used for election timeouts. */
  random(): number;
  /** Ticks without a leader until a node campaigns (10); the actual timeout is drawn from [n, 2n). */
  readonly electionTick?: number | undefined;
  /** Ticks between heartbeats (1). */
  readonly heartbeatTick?: number | undefined;
  /** The last index the owner already applied, on a restart (0). The stored configuration must be the one at it. */
  readonly applied?: Index | undefined;
  /** Hand storage work out as messages to LOCAL_APPEND and LOCAL_APPLY, instead of Ready and advance (false). */
  readonly asyncStorageWrites?: boolean | undefined;
  /** Bytes of entries in one MsgApp (1 MiB). */
  readonly maxSizePerMsg?: number | undefined;
  /** Bytes of committed entries in one Ready (0: as maxSizePerMsg). */
  readonly maxCommittedSizePerReady?: number | undefined;
  /** Bytes of proposals not yet committed, above which a leader drops proposals (0: no limit). */
  readonly maxUncommittedEntriesSize?: number | undefined;
  /** MsgApps on the way to one follower (256). */
  readonly maxInflightMsgs?: number | undefined;
  /** Bytes on the way to one follower (0: no limit). */
  readonly maxInflightBytes?: number | undefined;
  /** A leader that does not hear from a quorum for an election timeout steps down (true). */
  readonly checkQuorum?: boolean | undefined;
  /** Ask whether an election can be won before raising the term (true). */
  readonly preVote?: boolean | undefined;
  /** `safe` asks a quorum for every read; `lease-based` trusts the clocks and needs checkQuorum (safe). */
  readonly readOnlyOption?: ReadOnlyOption | undefined;
  /** A follower drops proposals instead of forwarding them to the leader (false). */
  readonly disableProposalForwarding?: boolean | undefined;
  /** Append configuration changes that do not fit the current configuration (false). */
  readonly disableConfChangeValidation?: boolean | undefined;
  /** A leader that applied its own removal or demotion becomes a follower (true). */
  readonly stepDownOnRemoval?: boolean | undefined;
  readonly logger?: Logger | undefined;
}

export type ReadOnlyOption = 'safe' | 'lease-based';

type Complete = { readonly [Key in keyof Config]-?: NonNullable<Config[Key]> };

/** A Config with the defaults filled in; no limit is Infinity. */
export type Settings = Omit<Complete, 'logger'> & { readonly logger: Logger | undefined };

const DEFAULTS = {
  electionTick: 10,
  heartbeatTick: 1,
  applied: 0,
  asyncStorageWrites: false,
  maxSizePerMsg: 1024 * 1024,
  maxCommittedSizePerReady: 0,
  maxUncommittedEntriesSize: 0,
  maxInflightMsgs: 256,
  maxInflightBytes: 0,
  checkQuorum: true,
  preVote: true,
  readOnlyOption: 'safe',
  disableProposalForwarding: false,
  disableConfChangeValidation: false,
  stepDownOnRemoval: true,
} as const;

/** Fills in the defaults. Throws ErrConfig. */
export function resolveConfig(config: Config): Settings {
  const given = Object.fromEntries(
    Object.entries(config).filter(([, value]) => value !== undefined),
  );
  const settings = { ...DEFAULTS, logger: undefined, ...given } as Settings;
  const resolved: Settings = {
    ...settings,
    random: () => config.random(),
    maxCommittedSizePerReady: settings.maxCommittedSizePerReady || settings.maxSizePerMsg,
    maxUncommittedEntriesSize: settings.maxUncommittedEntriesSize || Number.POSITIVE_INFINITY,
  };
  check(resolved);
  return resolved;
}

function check(settings: Settings): void {
  const wrong = (reason: string): RaftError => new RaftError('ErrConfig', reason);
  if (!Number.isSafeInteger(settings.id) || settings.id <= NONE || settings.id >= LOCAL_APPLY) {
    throw wrong(`${settings.id} cannot be a node id`);
  }
  if (settings.heartbeatTick <= 0) throw wrong('heartbeatTick must be positive');
  if (settings.electionTick <= settings.heartbeatTick) {
    throw wrong('electionTick must be more than heartbeatTick');
  }
  if (settings.maxInflightMsgs <= 0) throw wrong('maxInflightMsgs must be positive');
  if (settings.maxInflightBytes !== 0 && settings.maxInflightBytes < settings.maxSizePerMsg) {
    throw wrong('maxInflightBytes must be at least maxSizePerMsg');
  }
  if (settings.readOnlyOption === 'lease-based' && !settings.checkQuorum) {
    throw wrong('lease-based reads need checkQuorum');
  }
}

import type { DispatcherOptions } from '../../../pkg/dispatcher/dispatcher.ts';
import type { Clock } from '../../../pkg/io/index.ts';
import type { ControlLoopOptions } from '../../../pkg/store/control-loop.ts';

/** What the programs of a manager need of its store. */
export type ManagerStore = ControlLoopOptions['store'] & DispatcherOptions['store'];

/** The managers' stores, and what can happen to them. Members are known by their raft ids. */
export interface Group {
  /** Resolves when there are as many members as there shall be, and one leads. */
  form(): Promise<void>;
  /** The process of this member begins. */
  start(raftId: number, clock: Clock): ManagerStore;
  /** It ends at this moment: nothing that was asked of it is ever answered. */
  kill(raftId: number): void;
  /** One direction. */
  cut(from: number, to: number): void;
  heal(): void;
  /** The leader hands over. */
  transfer(): void;
  /** All members know everything, and one leads. */
  isSettled(): boolean;
  /** Everything replicated, as text. */
  content(raftId: number): string;
  /** @throws Error when a store gave up by itself */
  check(): void;
}

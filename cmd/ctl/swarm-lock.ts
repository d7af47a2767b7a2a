import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { Context } from './context.ts';
import { Failure } from './failure.ts';
import type { Options } from './service-create.ts';
import { oneOf } from './service-flags.ts';

interface Swarm {
  readonly Version: { readonly Index: number };
  readonly Spec: object;
}

const STDIN = 0;

/** `ctl swarm update|unlock|unlock-key` */
export function addSwarmLock(swarm: Command, context: () => Context): void {
  swarm
    .command('update')
    .description('Change the cluster as a whole')
    .option('--autolock [on]', 'true: managers start again with the unlock key only; or false')
    .action(async (options: Options) => {
      if (options['autolock'] === undefined)
        throw new Failure('nothing to update: say --autolock=true or --autolock=false');
      const on = oneOf(String(options['autolock']), 'autolock', ['true', 'false']) === 'true';
      await update(context(), { EncryptionConfig: { AutoLockManagers: on } }, false);
      context().output.line('Swarm updated.');
      if (on) await printUnlockKey(context());
    });
  swarm
    .command('unlock')
    .description('Start the manager of this host with the unlock key, read from the standard input')
    .action(async () => {
      if (process.stdin.isTTY) context().output.line('Enter the unlock key:');
      const [UnlockKey = ''] = readFileSync(STDIN, 'utf8').split('\n');
      await context().client.post('/swarm/unlock', { UnlockKey: UnlockKey.trim() });
    });
  swarm
    .command('unlock-key')
    .description('Show, or renew, the key that managers are unlocked with')
    .option('-q, --quiet', 'the key only')
    .option('--rotate', 'make a new one; managers that are down still need the old one')
    .action(async (options: Options) => {
      const key = await unlockKey(context());
      if (options['rotate']) await update(context(), {}, true);
      if (!options['quiet']) return await printUnlockKey(context());
      context().output.line(options['rotate'] ? await unlockKey(context()) : key);
    });
}

async function update({ client }: Context, change: object, rotate: boolean): Promise<void> {
  const swarm = await client.get<Swarm>('/swarm');
  await client.post(
    '/swarm/update',
    { ...swarm.Spec, ...change },
    {
      version: swarm.Version.Index,
      rotateWorkerToken: false,
      rotateManagerToken: false,
      rotateManagerUnlockKey: rotate,
    },
  );
}

/** @throws Failure when there is none */
async function unlockKey({ client }: Pick<Context, 'client'>): Promise<string> {
  const { UnlockKey } = await client.get<{ UnlockKey: string }>('/swarm/unlockkey');
  if (UnlockKey !== '') return UnlockKey;
  throw new Failure(
    "no unlock key is set, because autolock is off; 'ctl swarm update --autolock' turns it on",
  );
}

export async function printUnlockKey(context: Pick<Context, 'client' | 'output'>): Promise<void> {
  const key = await unlockKey(context);
  context.output.line(
    `To start a manager that was stopped, run 'ctl swarm unlock' on it and give it this key:\n\n    ${key}\n\nKeep it in a safe place: without it a manager that was stopped cannot be started.`,
  );
}

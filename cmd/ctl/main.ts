import { Command, CommanderError } from 'commander';
import { ClusterError } from '../../pkg/model/index.ts';
import { Client } from './client.ts';
import { NOUNS } from './commands.ts';
import { readEnvironment } from './config.ts';
import type { Context } from './context.ts';
import { Failure } from './failure.ts';
import { terminal } from './output.ts';

const VERSION = '0.1.0';
const USAGE_EXIT_CODE = 125;

async function main(args: readonly string[]): Promise<void> {
  const environment = readEnvironment();
  const program = new Command('ctl')
    .description('Muster: containers on many machines')
    .version(`ctl ${VERSION}`, '-v, --version')
    .option('-H, --host <url>', 'API to talk to; also MUSTER_HOST or DOCKER_HOST', environment.host)
    .enablePositionalOptions()
    .showHelpAfterError('(--help shows what there is)')
    .exitOverride();
  const context = (): Context => ({
    client: new Client(String(program.opts()['host'])),
    output: terminal,
    environment,
  });
  const noun = args.find(
    (word, at) => !word.startsWith('-') && args[at - 1] !== '-H' && args[at - 1] !== '--host',
  );
  const known = noun === undefined ? undefined : NOUNS[noun];
  if (known) (await known.load())(program, context);
  for (const [name, { text }] of Object.entries(NOUNS)) {
    if (!known || name !== noun) program.command(name).description(text);
  }
  if (args.length === 0) program.help();
  await program.parseAsync([...args], { from: 'user' });
}

main(process.argv.slice(2)).catch((error: unknown) => {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : USAGE_EXIT_CODE;
  } else if (error instanceof ClusterError) {
    terminal.error(error.message);
    process.exitCode = 1;
  } else if (error instanceof Failure) {
    terminal.error(error.message);
    process.exitCode = error.exitCode;
  } else {
    terminal.error(
      `ctl: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    process.exitCode = 1;
  }
});

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `ctl … | head` closes the pipe early: nothing is wrong.
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

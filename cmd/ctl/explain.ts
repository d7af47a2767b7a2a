import type { Command } from 'commander';
import type { Context } from './context.ts';
import {
  type ServiceExplained,
  serviceText,
  type TaskExplained,
  taskText,
} from './explain-text.ts';
import { printJson } from './output.ts';

interface ExplainOptions {
  readonly format?: string | undefined;
}

/** `ctl explain …` */
export function addExplain(program: Command, context: () => Context): void {
  const explain = program
    .command('explain')
    .description('Why a service or a task is as it is, and what would help');
  explain
    .command('service <service>')
    .description('What keeps a service from being as its spec says')
    .option('--format <format>', 'json: everything that is known')
    .action(async (name: string, options: ExplainOptions) => {
      const { client, output } = context();
      const path = `/services/${encodeURIComponent(name)}/explain`;
      const explained = await client.get<ServiceExplained>(path);
      if (options.format === 'json') printJson(output, explained);
      else for (const line of serviceText(explained, Date.now())) output.line(line);
    });
  explain
    .command('task <task>')
    .description('Why a task waits, or runs where it runs, and why it was restarted')
    .option('--format <format>', 'json: everything that is known')
    .action(async (id: string, options: ExplainOptions) => {
      const { client, output } = context();
      const explained = await client.get<TaskExplained>(`/tasks/${encodeURIComponent(id)}/explain`);
      if (options.format === 'json') printJson(output, explained);
      else for (const line of taskText(explained, Date.now())) output.line(line);
    });
}

import { connect } from 'node:net';
import { splitHostPort } from '../model/index.ts';

/**
 * Whether the kernel of the host at host:port answers within `timeoutMs`, if only to refuse: what runs there may stand still
 * or have ended all the same. For ports that no firewall between us drops.
 */
export function hostAnswers(address: string, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ ...splitHostPort(address), timeout: timeoutMs });
    const over = (answers: boolean): void => {
      socket.destroy();
      resolve(answers);
    };
    socket.once('connect', () => over(true));
    socket.once('timeout', () => over(false));
    socket.once('error', (error: NodeJS.ErrnoException) => over(error.code === 'ECONNREFUSED'));
  });
}

import { spawn } from 'node:child_process';

export interface DockerResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface DockerOptions {
  readonly input?: string | undefined;
  readonly cwd?: string | undefined;
}

/** The stock CLI against one socket. */
export class Docker {
  readonly #socketPath: string;
  readonly #configDir: string;

  constructor(socketPath: string, configDir: string) {
    this.#socketPath = socketPath;
    this.#configDir = configDir;
  }

  /** Runs to the end, whatever the exit code. */
  try(args: readonly string[], options: DockerOptions = {}): Promise<DockerResult> {
    const child = spawn('docker', args, {
      cwd: options.cwd,
      env: {
        PATH: process.env['PATH'],
        HOME: this.#configDir,
        DOCKER_CONFIG: this.#configDir,
        ...(this.#socketPath !== '' && { DOCKER_HOST: `unix://${this.#socketPath}` }),
      },
    });
    const output: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] };
    child.stdout.on('data', (chunk: Buffer) => output.stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => output.stderr.push(chunk));
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) =>
        resolve({
          exitCode: code ?? 128,
          stdout: Buffer.concat(output.stdout).toString(),
          stderr: Buffer.concat(output.stderr).toString(),
        }),
      );
    });
  }

  /** stdout without its last newline; a failure is an error with what the CLI said. */
  async run(args: readonly string[], options: DockerOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.try(args, options);
    if (exitCode !== 0)
      throw new Error(`docker ${args.join(' ')}: ${exitCode}\n${stderr}${stdout}`);
    return stdout.trimEnd();
  }

  async json(args: readonly string[]): Promise<unknown> {
    return JSON.parse(await this.run(args));
  }
}

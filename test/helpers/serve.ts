import { type Running, type Sandbox, until } from './cli.ts';

/** A running server: what it has said, and where it listens. */
export interface Serving extends Running {
  url: string;
  said: () => string;
}

/** Starts `serve` on any free port, and waits until it listens or has ended. */
export async function serve(box: Sandbox, env: Record<string, string>): Promise<Serving> {
  const running = box.start(['serve', '--port', '0'], { env });
  let said = '';
  running.child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const address = () => /listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(said)?.[1];
  await until(() => address() !== undefined || running.child.exitCode !== null);
  return { ...running, url: address() ?? '', said: () => said };
}

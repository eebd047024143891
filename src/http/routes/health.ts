import { z } from 'zod';
import { answers } from '../../reports/storage.ts';
import type { Store } from '../../store/store.ts';
import type { App } from '../app.ts';
import { problems } from '../openapi.ts';
import { HttpProblem } from '../problem.ts';

/** How long the store may take to answer, ms. */
const PATIENCE = 2_000;

/** Whether the process is up, and whether it can do its work. No limit of rates: who asks restarts it otherwise. */
export function healthRoutes(app: App, { store }: { store: Store }): void {
  const schema = (summary: string) => ({ summary, tags: ['operation'], security: [] });
  const config = { access: 'public', rateLimit: false } as const;
  const ok = z.object({ status: z.literal('ok') });

  app.get(
    '/healthz',
    { config, schema: { ...schema('Whether the process is up'), response: { 200: ok } } },
    async () => ({ status: 'ok' as const }),
  );

  // However many ask, one of them asks the store.
  let asking: Promise<boolean> | undefined;
  const ready = () => {
    asking ??= answersInTime(store).finally(() => {
      asking = undefined;
    });
    return asking;
  };
  app.get(
    '/readyz',
    { config, schema: { ...schema('Whether the store answers'), response: { 200: ok, ...problems(503) } } },
    async () => {
      if (!(await ready())) throw new HttpProblem(503, 'the store does not answer');
      return { status: 'ok' as const };
    },
  );
}

async function answersInTime(store: Store): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), PATIENCE);
  });
  const answered = answers(store).then(
    () => true,
    () => false,
  );
  return Promise.race([answered, late]).finally(() => clearTimeout(timer));
}

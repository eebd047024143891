import { expect, it } from 'vitest';
import { Pool } from '../src/store/pool.ts';

it('makes a thing when it is first needed, no more than it may, and hands on what is given back in order', async () => {
  let made = 0;
  const pool = new Pool(2, async () => ++made);
  expect(made).toBe(0);
  expect(await Promise.all([pool.take(), pool.take()])).toEqual([1, 2]);
  const order: string[] = [];
  const third = pool.take().then((thing) => order.push(`third ${thing}`));
  const fourth = pool.take().then((thing) => order.push(`fourth ${thing}`));
  pool.give(2);
  pool.give(1);
  await Promise.all([third, fourth]);
  expect(order).toEqual(['third 2', 'fourth 1']);
  pool.give(1);
  expect(await pool.take()).toBe(1);
  expect(made).toBe(2);
});

it('makes one for who waits where the one that was waited for could not be made', async () => {
  let fail: (error: Error) => void = () => {};
  const first = new Promise<string>((_, reject) => {
    fail = reject;
  });
  const making = [first, Promise.resolve('second')];
  const pool = new Pool(1, async () => making.shift() ?? 'third');
  const failed = pool.take().catch((error: unknown) => error);
  const waiting = pool.take();
  fail(new Error('no session'));
  expect(await failed).toMatchObject({ message: 'no session' });
  expect(await waiting).toBe('second');
});

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EngineError, type EngineSession, loadEngine, openOn } from '../src/store/engine.ts';
import { releaseEngine, removeFolder } from './helpers/kept-engine.ts';

let folder: string;
let session: EngineSession;

beforeEach(async () => {
  releaseEngine();
  folder = mkdtempSync(join(tmpdir(), 'infrasage-engine-'));
  session = openOn(await loadEngine(), folder);
});

afterEach(() => {
  session.close();
  removeFolder(folder);
});

test('keeps few idle threads, and what it is told for that is not told to other processes', async () => {
  const setting = `SELECT value FROM system.server_settings WHERE name = 'max_thread_pool_free_size'`;
  expect(await session.run(setting, { format: 'TSV' })).toBe('32\n');
  expect(process.env).not.toHaveProperty('JE_MALLOC_CONF');
});

test('says what is wrong in its own words, with its number', async () => {
  const failure = await session.run('SELECT nothing').catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(EngineError);
  expect(failure).toMatchObject({ code: '47', message: expect.stringMatching(/^Unknown .*nothing/) });
  expect((failure as EngineError).message).not.toMatch(/UNKNOWN_IDENTIFIER|DB::Exception/);
});

test('gives rows in the form that is asked for, with bound values and without', async () => {
  const params = { text: "it's\n\t\\", number: 18_446_744_073_709_551_615n };
  const bound = await session.run('SELECT {text:String} AS text, toString({number:UInt64}) AS number', {
    format: 'JSONEachRow',
    params,
  });
  expect(JSON.parse(bound)).toEqual({ text: params.text, number: String(params.number) });
  expect(await session.run('SELECT number FROM numbers(3)', { format: 'TSV' })).toBe('0\n1\n2\n');
  expect(await session.run('SELECT number FROM numbers(0)', { format: 'JSONEachRow' })).toBe('');
  expect(await session.run('CREATE DATABASE other')).toBe('');
});

import type { Config } from '../config.ts';
import type { InfrasageError } from '../errors.ts';
import type { Settings, ShownSetting } from '../settings/layers.ts';
import type { ServerInspection } from '../store/server/inspect.ts';
import type { Reader, Store } from '../store/store.ts';

/** Something that is not as it should be. */
export interface Finding {
  /** What it is, for programs: does not change with the words. */
  code: string;
  message: string;
  /** The command that mends it, or what to do where none does. */
  fix: string;
}

/** What a check has seen. */
export interface Seen {
  /** How it is, in one line. */
  summary: string;
  findings?: readonly Finding[];
  /** The figures behind it, for programs. */
  details?: Readonly<Record<string, unknown>>;
}

/** That a check could not be made, and why: no finding of its own. */
export interface Skipped {
  skipped: string;
}

/** One thing that is looked at. What it throws becomes a finding. */
export interface Check {
  /** Name in the report, which does not change. */
  name: string;
  run(subject: Subject): Promise<Seen | Skipped>;
}

/** What is examined. Looking at it makes, settles and migrates nothing. */
export interface Subject {
  config: Config;
  settings: Settings;
  /** What is in force, with its sources. */
  shown: readonly ShownSetting[];
  /** What is wrong with the settings; then nothing but them is looked at. */
  fault: InfrasageError | undefined;
  env: Readonly<Record<string, string | undefined>>;
  now: () => Date;
  /** Whether no other machine is asked but the ClickHouse server. */
  offline: boolean;
  /** The data: opened on first use. Rejects with what is in the way, each time. */
  data(): Promise<Data>;
}

/** The data as it is there. */
export type Data =
  | { kind: 'embedded'; reader: Reader; store: Store }
  | { kind: 'server'; reader: Reader; server: ServerInspection };

/** The data; undefined where it cannot be opened, which the check `store` explains. */
export async function dataOf(subject: Subject): Promise<Data | undefined> {
  try {
    return await subject.data();
  } catch {
    return undefined;
  }
}

/** Why a check of the data is not made. */
export const NO_DATA: Skipped = { skipped: 'the data cannot be read' };

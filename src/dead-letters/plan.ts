import type { ContractEvent, ErrorCode } from '../ingest/contract.ts';
import { judge } from '../ingest/judge.ts';
import { contractOf, type LetterOrigin } from '../reports/dead-letter.ts';
import type { LetterFilter } from '../reports/dead-letters.ts';
import {
  isWhole,
  type LetterPage,
  letterPages,
  PAGE,
  type PagedLetter,
  type PageSize,
} from '../reports/letter-pages.ts';
import type { LineOptions, Store } from '../store/store.ts';
import { type Changes, setFields } from './edit.ts';

/** What is to be sent again, and how. */
export interface Wanted {
  /** Of letters that were not sent again yet. */
  filter: Omit<LetterFilter, 'state'>;
  changes: Changes;
  /** In place of what a line was judged with when it was rejected. */
  options: Partial<LineOptions>;
}

/** What the bill of a tenant's month is to get more of one type. */
export interface BillChange {
  tenantId: string;
  /** `2026-11`. */
  month: string;
  eventType: string;
  events: bigint;
  /** Length of the lines. */
  bytesReceived: bigint;
}

/** Why a letter stays where it is. */
export type Staying = ErrorCode | 'cut' | 'unsettled';

export interface ReplayPlan {
  /** Letters that were looked at: those that pass, and those that stay. */
  selected: bigint;
  passing: bigint;
  /**
   * Letters that stay, by reason: the rule that they still break; cut, where not all of the line was kept; unsettled,
   * where their batch is not committed.
   */
  staying: Map<Staying, bigint>;
  bill: BillChange[];
  pages: PlannedPage[];
}

/** A page of letters, and which of them pass: lines by batch. */
export interface PlannedPage extends Pick<LetterPage, 'first' | 'last'> {
  passing: Map<string, Set<bigint>>;
}

/** A letter as it is to be sent again. */
export interface Resent {
  letter: PagedLetter;
  line: Buffer;
  origin: LetterOrigin;
  event: ContractEvent;
}

/** The letters that a replay looks at. */
export function openLetters({ filter }: Wanted): LetterFilter {
  return { ...filter, state: 'open' };
}

/**
 * Judges every open letter that is wanted. Those that still break a rule stay as they are: to send them again would
 * only leave a second copy of each.
 * @param now what ages are measured against
 * @param options.page size of the pages, each of which becomes a batch or some
 * @param options.onProgress called with the letters that were judged so far
 * @param options.stop ends it early: what was not looked at is not in the plan
 */
export async function planReplay(
  store: Store,
  wanted: Wanted,
  now: Date,
  {
    page = PAGE,
    onProgress,
    stop,
  }: { page?: PageSize; onProgress?: (letters: bigint) => void; stop?: AbortSignal } = {},
): Promise<ReplayPlan> {
  const plan: ReplayPlan = { selected: 0n, passing: 0n, staying: new Map(), bill: [], pages: [] };
  const bill = new Map<string, BillChange>();
  for await (const { first, last, letters } of letterPages(store, openLetters(wanted), page)) {
    const passing: PlannedPage['passing'] = new Map();
    for (const letter of letters) {
      plan.selected += 1n;
      const resent = resend(letter, wanted, now);
      if (typeof resent === 'string') {
        plan.staying.set(resent, (plan.staying.get(resent) ?? 0n) + 1n);
        continue;
      }
      plan.passing += 1n;
      const lines = passing.get(letter.batchId) ?? new Set();
      passing.set(letter.batchId, lines.add(letter.line));
      add(bill, resent);
    }
    if (passing.size > 0) plan.pages.push({ first, last, passing });
    onProgress?.(plan.selected);
    if (stop?.aborted) break;
  }
  plan.bill = [...bill.values()].sort(byTenantMonthType);
  return plan;
}

/** A letter as it is sent again, or why it is not. */
export function resend(letter: PagedLetter, { changes, options }: Wanted, now: Date): Resent | Staying {
  if (!letter.origin.committed) return 'unsettled';
  if (!isWhole(letter)) return 'cut';
  const origin = { ...letter.origin, options: { ...letter.origin.options, ...options } };
  // What has no fields to set breaks a rule as it is.
  const line = setFields(letter.raw, changes) ?? letter.raw;
  const { event, violations } = judge(line, contractOf(origin, now));
  if (event) return { letter, line, origin, event };
  return violations[0]?.code ?? 'invalid_json';
}

function add(bill: Map<string, BillChange>, { event, line }: Resent): void {
  const { tenantId, eventType, timestamp } = event;
  const month = timestamp.toISOString().slice(0, 7);
  const key = JSON.stringify([tenantId, month, eventType]);
  const change = bill.get(key) ?? { tenantId, month, eventType, events: 0n, bytesReceived: 0n };
  change.events += 1n;
  change.bytesReceived += BigInt(line.length);
  bill.set(key, change);
}

function byTenantMonthType(a: BillChange, b: BillChange): number {
  return compare(a.tenantId, b.tenantId) || compare(a.month, b.month) || compare(a.eventType, b.eventType);
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

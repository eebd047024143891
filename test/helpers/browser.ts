import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];
/** Runs in the page: what only the page can tell of itself. */
const PROBE = fileURLToPath(new URL('in-page.js', import.meta.url));

/** Whether tests in a browser are to be left out: only where that is asked for. */
export const NO_BROWSER = process.env.INFRASAGE_NO_BROWSER === '1';

/** Starts Chromium. It asks nobody for anything but what a page asks for. */
export async function openBrowser(): Promise<Browser> {
  const executablePath = PLACES.find((path) => existsSync(path));
  if (!executablePath) {
    throw new Error(
      `no Chromium in ${PLACES.join(', ')}: install one (apt-get install chromium), or set INFRASAGE_NO_BROWSER=1 to leave these tests out`,
    );
  }
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** A page, and what went wrong on it. */
export interface Watched {
  page: Page;
  /** Addresses that were asked for. */
  requests: string[];
  /** Errors of the console, of scripts and of the content security policy, and dialogs. */
  faults: string[];
}

/** A page of its own, with nothing kept from others. */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext(options);
  await context.addInitScript({ path: PROBE });
  const page = await context.newPage();
  const requests: string[] = [];
  const faults: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`script: ${error.message}`));
  page.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  return { page, requests, faults };
}

/** Asks the probe in the page. */
export function probe<T>(page: Page, call: string): Promise<T> {
  return page.evaluate(`probe.${call}`);
}

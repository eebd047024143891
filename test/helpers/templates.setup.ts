import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder of what the test files of a run make once between them. */
    templates: string;
  }
}

/** Makes the folder before the first test file, and removes it after the last. */
export default function setup(project: TestProject): () => void {
  const templates = mkdtempSync(join(tmpdir(), 'infrasage-templates-'));
  project.provide('templates', templates);
  return () => rmSync(templates, { recursive: true, force: true });
}

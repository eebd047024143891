import { releaseEngine } from './kept-engine.ts';

/*
 * Before each test file: a worker goes on from file to file, and the program leaves in its process what it sets for
 * itself, the permissions of new files and the engine that is kept.
 */
process.umask(0o022);
releaseEngine();

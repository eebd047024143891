/** The lock of what takes dead letters: one replay or purge at a time, in whatever process. */
export const DEAD_LETTERS = 'dead letters';

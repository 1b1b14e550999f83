/** `line`: the whole line that the code begins on, without its indentation. */
export type Mutation = { file: string; line: string; original: string; replacement: string };

/** Mutants that compile, and behave as the code does: no test can notice them. */
export const equivalentMutants: readonly (Mutation & { why: string })[] = [];

export type Mutation = { file: string; original: string; replacement: string };

/** Mutants that compile, and behave as the code does: no test can notice them. */
export const equivalentMutants: readonly (Mutation & { why: string })[] = [];

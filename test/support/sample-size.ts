/** As CI asks for it: everything that the proofs can go through, at its full size. */
export const isLarge = process.env['EXPLORE_ALL'] === '1';

/** How much of a proof by random samples runs. */
export const sampleSize = (usual: number, large: number): number => (isLarge ? large : usual);

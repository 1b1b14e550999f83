/** What a phase of a load has in common with the others. */
export type Phase = {
  /** Of events, requests or inputs. */
  count: number;
  seed: number;
  /** Part of every tenant's id. */
  runId: string;
  show: (progress: string) => void;
};

/** Opens what a function works with at its first request and keeps it for the life of the execution environment. */
export function lazily<T>(open: (environment: NodeJS.ProcessEnv) => T): () => T {
  let opened: { value: T } | undefined;
  return () => {
    opened ??= { value: open(process.env) };
    return opened.value;
  };
}

/** The part of Lambda's context that is used. */
export type LambdaContext = { awsRequestId: string; getRemainingTimeInMillis(): number };

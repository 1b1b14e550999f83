/** Metrics in the embedded metric format, which CloudWatch reads out of the log. */
export const isMetricsLine = (line: string): boolean => line.startsWith('{"_aws":');

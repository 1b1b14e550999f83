import { expect, test } from 'vitest';
import {
  metricNamespace,
  metrics,
  metricService,
  upstreamOperations,
} from '../../../functions/model/metric-names.ts';

test('each metric has a unit of CloudWatch, and at most one dimension of its own', () => {
  const all: Record<string, { unit: string; by?: string }> = metrics;
  for (const [name, { unit, by }] of Object.entries(all)) {
    expect([name, unit]).toEqual([name, expect.stringMatching(/^(Count|Milliseconds|Seconds)$/)]);
    expect([name, by ?? 'function']).toEqual([name, expect.stringMatching(/^(function|operation)$/)]);
  }
});

test('outcomes are counted by function, and calls of Cloud Elements are measured by operation', () => {
  const by = (dimension: string) =>
    Object.entries(metrics).flatMap(([name, metric]) =>
      'by' in metric && metric.by === dimension ? [name] : [],
    );
  expect(by('function')).toEqual(['Succeeded', 'Pending', 'Refused', 'Failed']);
  expect(by('operation')).toEqual(['UpstreamLatency']);
});

test('the metrics have a namespace that is not one of AWS, and the service’s name', () => {
  expect(metricNamespace).toMatch(/^(?!AWS\/)[\w/]+$/);
  expect(metricService).toMatch(/^[a-z-]+$/);
});

test('an operation of Cloud Elements is a method and a path', () => {
  const methods = upstreamOperations.map(
    (operation) => /^([A-Z]+) \/[a-z]+(\/\{id\})?$/.exec(operation)?.[1],
  );
  expect(methods.toSorted()).toEqual(['DELETE', 'GET', 'GET', 'GET', 'PATCH', 'POST']);
});

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

const namesBy = (dimension: string) =>
  Object.entries(metrics).flatMap(([name, metric]) =>
    'by' in metric && metric.by === dimension ? [name] : [],
  );

test('outcomes are counted by function, and calls of Cloud Elements are measured by operation', () => {
  expect(namesBy('function')).toEqual(['Succeeded', 'Pending', 'Refused', 'Failed']);
  expect(namesBy('operation')).toEqual(['UpstreamLatency']);
});

test('the metrics have a namespace that is not one of AWS, and the service’s name', () => {
  expect(metricNamespace).toMatch(/^(?!AWS\/)[\w/]+$/);
  expect(metricService).toMatch(/^[a-z-]+$/);
});

test('an operation of Cloud Elements is a method and a path', () => {
  const methods = upstreamOperations.map(
    (operation) => /^([A-Z]+) \/[a-z]+(\/\{id\})?$/.exec(operation)?.[1] ?? operation,
  );
  expect(new Set(methods)).toEqual(new Set(['DELETE', 'GET', 'PATCH', 'POST']));
});

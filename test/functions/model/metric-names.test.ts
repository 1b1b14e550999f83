import { expect, test } from 'vitest';
import { metricNamespace, metricService } from '../../../functions/model/metric-names.ts';

test('the metrics have a namespace that is not one of AWS, and the service’s name', () => {
  expect(metricNamespace).toMatch(/^(?!AWS\/)[\w/]+$/);
  expect(metricService).toMatch(/^[a-z-]+$/);
});

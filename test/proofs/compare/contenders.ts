import { ordinaryWay } from './ordinary-way.ts';
import { thisService } from './this-service.ts';

export const contenders = { thisService, ordinaryWay };

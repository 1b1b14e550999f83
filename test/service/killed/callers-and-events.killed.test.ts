import { describeKills } from './killing.ts';

describeKills((name) => name !== 'reconcile-instances');

export { type HubOptions, type RunningHub, startHub } from './main.ts';
export { type HubConfig, HubConfigSchema } from './settings.ts';

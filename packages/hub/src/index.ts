export { type HubOptions, type RunningHub, startHub } from './main.ts';
export { HUB_CONFIG_SECRETS, type HubConfig, HubConfigSchema } from './settings.ts';

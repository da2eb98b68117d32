export { type SiteConfig, SiteConfigSchema } from './config.ts';
export { joinHub } from './hub-link/join.ts';
export { type RunningSite, type SiteOptions, startSite } from './main.ts';

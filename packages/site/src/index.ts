export type { Problem } from './archive/verify.ts';
export { verifyFolder } from './archive/verify-folder.ts';
export { SITE_CONFIG_SECRETS, type SiteConfig, SiteConfigSchema } from './config.ts';
export { draftSchema } from './datasets/schema-draft.ts';
export { fromDicomError } from './dicom-fault.ts';
export { joinHub } from './hub-link/join.ts';
export { KEY_FILE, readLinkFile } from './hub-link/link-file.ts';
export { ImageNodeConfigSchema, startImageNode } from './image-node.ts';
export { type RunningSite, type SiteOptions, startSite } from './main.ts';

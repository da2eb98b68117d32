export {
  type DeploymentCandidate,
  type DeploymentFinding,
  type DeploymentPolicy,
  deploymentFindings,
} from './deployment-rules.ts';
export { type DesignRow, designNames, designRow } from './design-row.ts';
export { RECORD_CLOCK_AHEAD_MS_MAX } from './fhir-time.ts';
export type { InputFinding, InputValue } from './input-finding.ts';
export { type MappedInput, type MappingRequest, mapInputs } from './input-mapping.ts';
export { prefetchTemplates } from './prefetch.ts';
export { type CardSource, findingsCard, OVERRIDE_CODES, riskCard } from './risk-card.ts';

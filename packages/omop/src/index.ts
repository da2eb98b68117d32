export { type ImportPlan, planImport, type SourceColumn } from './cdm/cdm-import.ts';
export { cdmFields, cdmTableNames, cdmTableStatements } from './cdm/cdm-schema.ts';
export { cdmRowOrder } from './cdm/row-order.ts';
export { readCirce, readCirceValue } from './cohort/circe-reader.ts';
export { cohortRunSql, cohortSql, planCohort } from './cohort/cohort-plan.ts';
export type { CohortDefinition } from './cohort/definition.ts';
export { explainCohort } from './cohort/explanation.ts';
export { namedConcepts } from './cohort/named-concepts.ts';
export { type CdmNeeds, planNeeds } from './cohort/plan-needs.ts';
export type { PrintOptions } from './cohort/sql-printer.ts';
export { type FeaturePlan, type ImageTables, planFeatures, type RowSet } from './dataset/feature-sql.ts';
export type { FilterPlan } from './dataset/filter-sql.ts';
export {
  PATIENT_COLUMN,
  quoteIdentifier,
  quoteLiteral,
  ROW_COLUMN,
  type SqlQuery,
  type SqlValue,
} from './dataset/sql-text.ts';
export { type PartitionPlan, planQuestion, type QuestionPlan } from './dataset/summary-plan.ts';
export {
  planTableCheck,
  readTableCheck,
  type TableCheck,
  type TableFinding,
  type TableRule,
} from './dataset/table-check.ts';
export { patientKeyOf, patientKeySql, typedTableSql } from './dataset/typed-table.ts';
export type { QuestionBudget, QuestionPrice } from './disclosure/budget.ts';
export { thresholdOf } from './disclosure/count-release.ts';
export { LIST_CANDIDATE_COUNT_MAX } from './disclosure/description-release.ts';
export {
  answerCount,
  answerDescription,
  answerEvaluation,
  answerList,
  answerRunStatistics,
  answerSummary,
  type BudgetSpent,
  type CountAnswer,
  type CountGate,
  type DescriptionTable,
  type Keep,
  type SummaryAnswer,
} from './disclosure/gate.ts';
export { type CountRange, isNear, nearRanges } from './disclosure/near-history.ts';
export {
  createPatientSetBuilder,
  type PatientSet,
  patientSetBytes,
  patientSetFromBytes,
} from './disclosure/patient-set.ts';
export {
  compareRows,
  createReleasedRowsBuilder,
  nearRowsFinding,
  type ReleasedRows,
} from './disclosure/released-rows.ts';
export type {
  EvaluationFacts,
  EvaluationVerdict,
  RunFacts,
  RunStatisticsVerdict,
  StratumSize,
} from './disclosure/run-statistics.ts';
export type { AnsweredSet } from './disclosure/snapping.ts';
export type { KeyedHash } from './disclosure/sticky-noise.ts';
export type { PatientTable } from './disclosure/table-release.ts';
export { type CohortQuestionPlan, planCohortQuestion, type TablePlan } from './discovery/cohort-question.ts';
export {
  type ConceptsQuestionPlan,
  LOCAL_CONCEPT_ID_MIN,
  planConceptsQuestion,
} from './discovery/concepts-question.ts';
export { GATHERED_COLUMNS } from './discovery/gathered-rows.ts';
export { type EtlStep, etlSteps } from './etl/etl-plan.ts';
export { ROWS_PER_RESOURCE_MAX } from './etl/event-sql.ts';
export { BODY_PART_CODES, CODING_SCHEME_PREFIX } from './etl/imaging-codes.ts';
export { accountByTypeSql, accountFindingsSql } from './etl/row-account.ts';
export { nextNumberSql, sourceStateSql, writeSourceStateStatements } from './etl/source-state.ts';
export {
  INCOMING_RESOURCE,
  incoming,
  incomingColumns,
  incomingStatements,
  type StagedRow,
  type StagedTable,
  stagingStatements,
} from './etl/staging-tables.ts';
export { codeMapStatements, sourceToStandardStatements, VOCABULARY_TABLES } from './etl/vocabulary.ts';
export { type FeatureTablePlan, featureRowColumns, featureSql, planFeatureTable } from './features/feature-plan.ts';
export { featureReportSql, featureTableSql } from './features/feature-table.ts';
export { CLINICAL_UNITS, conversionsFor, type UnitConversions } from './features/unit-conversion.ts';
export { createNoteDeidentifier, type DeidentifiedNote, type NoteSubject } from './free-text/deidentify-note.ts';
export { FINDING_KINDS, type Finding, type FindingKind } from './free-text/finding.ts';
export type { KnownName, KnownPerson } from './free-text/known-identifiers.ts';
export { isNhsNumber } from './free-text/nhs-number.ts';
export {
  answeredResult,
  countedResult,
  missingResult,
  type QualityResult,
  type QualitySummary,
  summarize,
} from './quality/quality-report.ts';
export { qualityRules } from './quality/quality-rule.ts';
export { type Catalogue, planQuality } from './quality/quality-sql.ts';

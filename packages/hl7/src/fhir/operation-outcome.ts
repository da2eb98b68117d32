/** What is wrong with a resource or a request, as FHIR says it. Issues name the element and the rule, never a value. */

/** Of http://hl7.org/fhir/issue-type, those that we use. */
export type IssueCode =
  | 'invalid'
  | 'structure'
  | 'required'
  | 'value'
  | 'invariant'
  | 'code-invalid'
  | 'too-long'
  | 'too-costly'
  | 'not-supported'
  | 'not-found'
  | 'deleted'
  | 'duplicate'
  | 'multiple-matches'
  | 'conflict'
  | 'business-rule'
  | 'login'
  | 'forbidden'
  | 'transient'
  | 'exception'
  | 'informational';

export type Issue = {
  readonly severity: 'fatal' | 'error' | 'warning' | 'information';
  readonly code: IssueCode;
  readonly diagnostics: string;
  /** FHIRPath of the element, as `Patient.contact[0].name`; absent where the whole is meant. */
  readonly expression?: string;
};

export type OperationOutcome = {
  readonly resourceType: 'OperationOutcome';
  readonly issue: readonly {
    readonly severity: Issue['severity'];
    readonly code: IssueCode;
    readonly diagnostics: string;
    readonly expression?: readonly string[];
  }[];
};

export function operationOutcome(issues: readonly Issue[]): OperationOutcome {
  return {
    resourceType: 'OperationOutcome',
    issue: issues.map(({ severity, code, diagnostics, expression }) => ({
      severity,
      code,
      diagnostics,
      ...(expression === undefined ? {} : { expression: [expression] }),
    })),
  };
}

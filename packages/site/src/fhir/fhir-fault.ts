/** A refusal that goes out as OperationOutcome. Messages name elements, parameters and rules, never a value. */
import type { Issue, IssueCode } from '@lantern/hl7';

export type FaultStatus = 400 | 403 | 404 | 405 | 406 | 409 | 410 | 412 | 413 | 415 | 422 | 501;

export class FhirFault extends Error {
  override readonly name = 'FhirFault';
  readonly status: FaultStatus;
  readonly issues: readonly Issue[];

  constructor(status: FaultStatus, code: IssueCode, diagnostics: string, expression?: string) {
    super(diagnostics);
    this.status = status;
    this.issues = [{ severity: 'error', code, diagnostics, ...(expression === undefined ? {} : { expression }) }];
  }

  /** With the issues that the validator found. */
  static ofIssues(status: FaultStatus, issues: readonly Issue[]): FhirFault {
    const fault = new FhirFault(status, 'invalid', issues[0]?.diagnostics ?? 'The resource is not valid.');
    return Object.assign(fault, { issues });
  }
}

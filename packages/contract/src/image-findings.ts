/**
 * What a person has to look at in the archive of a site: instances whose UID is taken by other content, and studies with an
 * instance that says another patient. Operations for the site's own people; nothing here reaches the hub.
 */
import { type Static, Type } from 'typebox';
import { endpoint } from './endpoint.ts';

const closed = { additionalProperties: false } as const;
const KeySchema = Type.String({
  pattern: '^[1-9][0-9]{0,18}$',
  description: 'a number of this site, which says nothing of a patient',
});
const AfterSchema = Type.Object({ after: Type.Optional(KeySchema) }, closed);

const ConflictDecisionSchema = Type.Union([Type.Literal('leave'), Type.Literal('discard')]);
export type ConflictDecision = Static<typeof ConflictDecisionSchema>;

const ImageConflictSchema = Type.Object(
  {
    conflictId: KeySchema,
    sopInstanceUid: Type.String(),
    studyInstanceUid: Type.String({ description: 'of the instance that has the UID' }),
    kept: Type.Object(
      {
        transferSyntaxUid: Type.String(),
        sizeBytes: Type.Integer({ minimum: 0 }),
        contentDigest: Type.String({ description: 'SHA-256 of the data set, hex' }),
        callingAe: Type.String(),
        receivedAt: Type.String({ format: 'date-time' }),
      },
      closed,
    ),
    refused: Type.Object(
      {
        transferSyntaxUid: Type.String(),
        sizeBytes: Type.Integer({ minimum: 0 }),
        contentDigest: Type.String({ description: 'SHA-256 of the data set, hex' }),
        callingAe: Type.String(),
        receivedAt: Type.String({ format: 'date-time' }),
      },
      closed,
    ),
    decision: Type.Optional(ConflictDecisionSchema),
    decidedBy: Type.Optional(Type.String()),
    decidedAt: Type.Optional(Type.String({ format: 'date-time' })),
  },
  closed,
);
export type ImageConflict = Static<typeof ImageConflictSchema>;

const PatientDisagreementSchema = Type.Object(
  {
    disagreementId: KeySchema,
    studyInstanceUid: Type.String(),
    sopInstanceUid: Type.String({ description: 'the first that differs so' }),
    attributes: Type.Array(Type.String(), { description: 'keywords of what differs' }),
    receivedAt: Type.String({ format: 'date-time' }),
  },
  closed,
);
export type PatientDisagreement = Static<typeof PatientDisagreementSchema>;

export const IMAGE_FINDINGS_API = {
  listImageConflicts: endpoint({
    method: 'GET',
    path: '/api/v1/image-conflicts',
    summary: 'Instances that were refused because their UID is taken by other content; their files are kept beside',
    query: AfterSchema,
    response: Type.Object({ conflicts: Type.Array(ImageConflictSchema), next: Type.Optional(KeySchema) }, closed),
  }),
  decideImageConflict: endpoint({
    method: 'POST',
    path: '/api/v1/image-conflicts/:conflictId/decision',
    summary: 'Leave a conflict as it is, or discard the file that was refused; the instance that has the UID stays',
    params: Type.Object({ conflictId: KeySchema }),
    body: Type.Object({ decision: ConflictDecisionSchema }, closed),
    response: Type.Object({ conflictId: KeySchema, decision: ConflictDecisionSchema }, closed),
  }),
  listPatientDisagreements: endpoint({
    method: 'GET',
    path: '/api/v1/image-patient-disagreements',
    summary: 'Studies with an instance that says another patient than the first did',
    query: AfterSchema,
    response: Type.Object(
      { disagreements: Type.Array(PatientDisagreementSchema), next: Type.Optional(KeySchema) },
      closed,
    ),
  }),
} as const;

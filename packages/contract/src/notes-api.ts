/**
 * Notes of a site's records for a project that its governance lead allowed them: an operation for the hospital's own people. Nothing
 * here reaches the hub.
 */
import { type Static, Type } from 'typebox';
import { endpoint } from './endpoint.ts';
import { IdSchema } from './ids.ts';

const closed = { additionalProperties: false } as const;
const CountSchema = Type.Integer({ minimum: 0 });

const ResearchNoteSchema = Type.Object(
  {
    noteId: Type.String({ description: 'stands for the record and the place of the text in it' }),
    patient: Type.String({ description: 'pseudonym under this project, the same as on its images' }),
    kind: Type.String({ description: 'type of the FHIR resource' }),
    date: Type.Optional(Type.String({ description: 'YYYY-MM-DD, shifted' })),
    text: Type.String(),
    findings: Type.Record(Type.String(), CountSchema, { description: 'how many of each kind were replaced' }),
  },
  closed,
);
export type ResearchNote = Static<typeof ResearchNoteSchema>;

const NoteAccountSchema = Type.Object(
  {
    patients: CountSchema,
    optedOut: Type.Integer({ minimum: 0, description: 'left out, with those whom no number identifies' }),
    notes: CountSchema,
    unread: Type.Integer({
      minimum: 0,
      description: 'documents that are no plain text, lie elsewhere or are too long',
    }),
  },
  closed,
);
export type NoteAccount = Static<typeof NoteAccountSchema>;

const ResearchNotesPageSchema = Type.Object(
  { notes: Type.Array(ResearchNoteSchema), account: NoteAccountSchema, next: Type.Optional(Type.String()) },
  closed,
);
export type ResearchNotesPage = Static<typeof ResearchNotesPageSchema>;

export const NOTES_API = {
  readResearchNotes: endpoint({
    method: 'GET',
    path: '/api/v1/projects/:projectId/notes',
    summary: 'De-identified notes for a project whose approval allows them, some patients at a time',
    params: Type.Object({ projectId: IdSchema('ProjectId') }),
    query: Type.Object({
      after: Type.Optional(Type.String({ pattern: '^[0-9]{1,18}$', description: '`next` of the page before' })),
      patient: Type.Optional(
        Type.String({
          pattern: '^[A-Za-z0-9.-]{1,64}$',
          description: 'only of this one, by the id of the FHIR Patient',
        }),
      ),
    }),
    response: ResearchNotesPageSchema,
  }),
} as const;

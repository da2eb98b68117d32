/**
 * Research copies of images at a site: collections, their copies, the quarantine, opt-outs. Operations of a site that has an
 * imaging plane, for its own people alone; nothing here reaches the hub.
 */
import { type Static, Type } from 'typebox';
import { endpoint } from './endpoint.ts';
import { IdSchema } from './ids.ts';
import type { ImageCollectionState, QuarantineState, ResearchStudyState } from './states.ts';

const closed = { additionalProperties: false } as const;
const UidSchema = Type.String({ pattern: '^[0-9]+(\\.[0-9]+)*$', minLength: 1, maxLength: 64 });
const InstantSchema = Type.String({ format: 'date-time' });
const CountSchema = Type.Integer({ minimum: 0 });
const KeySchema = Type.String({
  pattern: '^[1-9][0-9]{0,18}$',
  description: 'a number of this site, which says nothing of a patient',
});
/** Patterns and lists are matched against every series: bounded, so that a collection cannot slow the site down. */
const LIST_COUNT_MAX = 100;
const STUDY_COUNT_MAX = 100_000;
const REGION_COUNT_MAX = 100;
const PIXEL_COUNT_MAX = 1_000_000;

/** Every condition that is given must hold. Orientation, thickness and image type are looked at image by image. */
export const SeriesRuleSchema = Type.Object(
  {
    modalities: Type.Optional(
      Type.Array(Type.String({ pattern: '^[A-Z0-9_]{2,16}$' }), { minItems: 1, maxItems: LIST_COUNT_MAX }),
    ),
    description: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: 'of the series; * and ? as in C-FIND, in any case' }),
    ),
    imageType: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 16 }), {
        minItems: 1,
        maxItems: 10,
        description: 'values that ImageType must have, as ORIGINAL and PRIMARY',
      }),
    ),
    orientation: Type.Optional(
      Type.Union([Type.Literal('axial'), Type.Literal('coronal'), Type.Literal('sagittal')], {
        description: 'the plane that the image is nearest to',
      }),
    ),
    sliceThicknessMm: Type.Optional(
      Type.Object({ min: Type.Number({ minimum: 0 }), max: Type.Number({ minimum: 0 }) }, closed),
    ),
    bodyParts: Type.Optional(
      Type.Array(Type.String({ pattern: '^[A-Z0-9 _]{1,16}$' }), {
        minItems: 1,
        maxItems: LIST_COUNT_MAX,
        description: 'BodyPartExamined, in any case',
      }),
    ),
    sliceCountMin: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100_000, description: 'images of the series that fit, frames counted' }),
    ),
    sopClassUids: Type.Optional(Type.Array(UidSchema, { minItems: 1, maxItems: LIST_COUNT_MAX })),
  },
  closed,
);
export type SeriesRule = Static<typeof SeriesRuleSchema>;

const StudySelectionSchema = Type.Union([
  Type.Object(
    {
      kind: Type.Literal('listed'),
      studyInstanceUids: Type.Array(UidSchema, { maxItems: STUDY_COUNT_MAX }),
      accessionNumbers: Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { maxItems: STUDY_COUNT_MAX }),
    },
    closed,
  ),
  Type.Object(
    {
      kind: Type.Literal('arriving'),
      aeTitles: Type.Array(Type.String({ minLength: 1, maxLength: 16 }), { minItems: 1, maxItems: LIST_COUNT_MAX }),
    },
    closed,
  ),
]);
export type StudySelection = Static<typeof StudySelectionSchema>;

/** Checked as a whole by the de-identification, which names what it does not know. */
const DeidentificationProfileSchema = Type.Record(Type.String(), Type.Unknown());

export const IMAGE_COLLECTION_NAME_PATTERN = '^[a-z][a-z0-9-]{0,62}$';

export const NewImageCollectionSchema = Type.Object(
  {
    name: Type.String({
      pattern: IMAGE_COLLECTION_NAME_PATTERN,
      description: 'a name that was used before makes a new version',
    }),
    projectId: Type.Optional(IdSchema('ProjectId')),
    profile: DeidentificationProfileSchema,
    series: Type.Array(SeriesRuleSchema, { minItems: 1, maxItems: LIST_COUNT_MAX, description: 'one must fit' }),
    studies: StudySelectionSchema,
  },
  closed,
);
export type NewImageCollection = Static<typeof NewImageCollectionSchema>;

const CopyCountsSchema = Type.Object(
  {
    pendingStudies: CountSchema,
    waitingStudies: CountSchema,
    doneStudies: CountSchema,
    optedOutStudies: CountSchema,
    failedStudies: CountSchema,
    copiedInstances: CountSchema,
    heldInstances: CountSchema,
  },
  closed,
);

/** A step of the whole collection that is not tried again by itself. */
const CollectionFaultSchema = Type.Object(
  {
    step: Type.Union([Type.Literal('fill'), Type.Literal('remove')], {
      description: 'looking for studies that are here, or removing the copies after it was withdrawn',
    }),
    code: Type.String({ description: 'an error code of this API' }),
  },
  closed,
);
export type CollectionFault = Static<typeof CollectionFaultSchema>;

const ImageCollectionSchema = Type.Object(
  {
    collectionId: IdSchema('ImageCollectionId'),
    name: Type.String(),
    version: Type.Integer({ minimum: 1 }),
    projectId: Type.Optional(IdSchema('ProjectId')),
    state: Type.Unsafe<ImageCollectionState>(Type.String()),
    profile: DeidentificationProfileSchema,
    series: Type.Array(SeriesRuleSchema),
    studies: StudySelectionSchema,
    createdBy: Type.String(),
    createdAt: InstantSchema,
    decidedBy: Type.Optional(Type.String()),
    decidedAt: Type.Optional(InstantSchema),
    removedAt: Type.Optional(Type.String({ format: 'date-time', description: 'the copies are gone since' })),
    fault: Type.Optional(CollectionFaultSchema),
    copies: CopyCountsSchema,
  },
  closed,
);
export type ImageCollection = Static<typeof ImageCollectionSchema>;

const ResearchStudySchema = Type.Object(
  {
    studyKey: KeySchema,
    state: Type.Unsafe<ResearchStudyState>(Type.String()),
    why: Type.Optional(
      Type.String({ description: 'what it waits for, why nothing was copied, or the code of what failed' }),
    ),
    patient: Type.Optional(Type.String({ description: 'pseudonym' })),
    studyInstanceUid: Type.Optional(UidSchema),
    copiedInstances: CountSchema,
    heldInstances: CountSchema,
    refusedInstances: CountSchema,
  },
  closed,
);
export type ResearchStudy = Static<typeof ResearchStudySchema>;

const ReportSchema = Type.Object(
  {
    profile: Type.String(),
    methodCodes: Type.Array(Type.String()),
    entries: Type.Array(Type.Object({ path: Type.String(), action: Type.String(), rule: Type.String() }, closed)),
    keptCount: CountSchema,
  },
  closed,
);

/** Instances of one study that were treated alike, with every action; `sopInstanceUids` are those of the copies. */
const StudyReportSchema = Type.Object(
  {
    reports: Type.Array(Type.Object({ sopInstanceUids: Type.Array(UidSchema), report: ReportSchema }, closed)),
    heldBack: Type.Array(
      Type.Object(
        {
          quarantineId: IdSchema('QuarantineId'),
          state: Type.Unsafe<QuarantineState>(Type.String()),
          reasons: Type.Array(Type.String()),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type StudyReport = Static<typeof StudyReportSchema>;

/** What the slices of a series are together: RAS millimetres, as in NIfTI. */
const VolumeFactsSchema = Type.Union([
  Type.Object(
    {
      kind: Type.Literal('volume'),
      columns: Type.Integer(),
      rows: Type.Integer(),
      slices: Type.Integer(),
      spacingMm: Type.Array(Type.Number(), { minItems: 3, maxItems: 3 }),
      affine: Type.Array(Type.Array(Type.Number(), { minItems: 4, maxItems: 4 }), { minItems: 4, maxItems: 4 }),
      problems: Type.Array(Type.String({ description: 'tolerated' })),
    },
    closed,
  ),
  Type.Object({ kind: Type.Literal('none'), problems: Type.Array(Type.String()) }, closed),
]);
export type VolumeFacts = Static<typeof VolumeFactsSchema>;

const ManifestStudySchema = Type.Object(
  {
    patient: Type.String(),
    studyInstanceUid: UidSchema,
    series: Type.Array(
      Type.Object(
        {
          seriesInstanceUid: UidSchema,
          modality: Type.String(),
          volume: VolumeFactsSchema,
          instances: Type.Array(
            Type.Object(
              {
                sopInstanceUid: UidSchema,
                sopClassUid: UidSchema,
                file: Type.String({ description: 'below the folder of the collection' }),
                sizeBytes: CountSchema,
                sha256: Type.String(),
              },
              closed,
            ),
          ),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type ManifestStudy = Static<typeof ManifestStudySchema>;

const ImageManifestSchema = Type.Object(
  {
    collection: Type.String(),
    version: Type.Integer(),
    collectionId: IdSchema('ImageCollectionId'),
    studies: Type.Array(ManifestStudySchema),
    next: Type.Optional(Type.String({ description: 'give it as `after` for those that follow' })),
  },
  closed,
);
export type ImageManifest = Static<typeof ImageManifestSchema>;

const RegionSchema = Type.Object(
  {
    x: Type.Integer({ minimum: 0, maximum: PIXEL_COUNT_MAX }),
    y: Type.Integer({ minimum: 0, maximum: PIXEL_COUNT_MAX }),
    width: Type.Integer({ minimum: 1, maximum: PIXEL_COUNT_MAX }),
    height: Type.Integer({ minimum: 1, maximum: PIXEL_COUNT_MAX }),
  },
  closed,
);

/** What a person who looked says of the pixels. */
const PixelStatementSchema = Type.Union([
  Type.Object({ kind: Type.Literal('no-burnt-in-text') }, closed),
  Type.Object(
    {
      kind: Type.Literal('regions'),
      regions: Type.Array(RegionSchema, {
        minItems: 1,
        maxItems: REGION_COUNT_MAX,
        description: 'blacked out in every frame',
      }),
    },
    closed,
  ),
]);
export type PixelStatement = Static<typeof PixelStatementSchema>;

const QuarantinedSchema = Type.Object(
  {
    quarantineId: IdSchema('QuarantineId'),
    collectionId: IdSchema('ImageCollectionId'),
    studyKey: KeySchema,
    state: Type.Unsafe<QuarantineState>(Type.String()),
    reasons: Type.Array(Type.String()),
    releasable: Type.Boolean({
      description: 'whether a word on its pixels lets it pass; otherwise it can only be refused',
    }),
    modality: Type.String(),
    rows: Type.Optional(Type.Integer()),
    columns: Type.Optional(Type.Integer()),
    frameCount: Type.Integer(),
    heldAt: InstantSchema,
    decidedBy: Type.Optional(Type.String()),
    decidedAt: Type.Optional(InstantSchema),
    statement: Type.Optional(PixelStatementSchema),
  },
  closed,
);
export type Quarantined = Static<typeof QuarantinedSchema>;

const QuarantineDetailSchema = Type.Object(
  {
    item: QuarantinedSchema,
    planned: Type.Optional(ReportSchema),
    sameContentCount: Type.Integer({
      minimum: 1,
      description: 'objects that this decision is for, in all collections',
    }),
  },
  closed,
);
export type QuarantineDetail = Static<typeof QuarantineDetailSchema>;

const NewDeidentificationPreviewSchema = Type.Object(
  { studyInstanceUid: UidSchema, profile: DeidentificationProfileSchema },
  closed,
);

/** What a profile would do to a stored study: places and rules, never a value. */
const DeidentificationPreviewSchema = Type.Object(
  {
    series: Type.Array(
      Type.Object(
        {
          modality: Type.String(),
          seriesNumber: Type.Optional(Type.Integer()),
          instanceCount: CountSchema,
          reasons: Type.Array(Type.String({ description: 'why the image that was tried would be held back' })),
          report: Type.Optional(ReportSchema),
          kept: Type.Array(Type.String({ description: 'elements of the image that would stay as they are' })),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type DeidentificationPreview = Static<typeof DeidentificationPreviewSchema>;

export const OPT_OUT_LISTS = ['patient-ids', 'nhs-numbers'] as const;
export type OptOutListName = (typeof OPT_OUT_LISTS)[number];
export const OptOutListNameSchema = Type.Union([Type.Literal('patient-ids'), Type.Literal('nhs-numbers')]);
/** A large trust's local list, as one body of some megabytes. */
const OPT_OUT_COUNT_MAX = 500_000;

const NewOptOutListSchema = Type.Object(
  {
    asOf: Type.String({ format: 'date-time', description: 'when the list was true; it is too old some days after' }),
    entries: Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { maxItems: OPT_OUT_COUNT_MAX }),
  },
  closed,
);
export type NewOptOutList = Static<typeof NewOptOutListSchema>;

const OptOutStatusSchema = Type.Object(
  {
    open: Type.Boolean({ description: 'whether research copies may be made' }),
    ageDaysMax: Type.Integer(),
    lists: Type.Array(
      Type.Object(
        {
          list: Type.Unsafe<OptOutListName>(Type.String()),
          asOf: Type.Optional(InstantSchema),
          loadedBy: Type.Optional(Type.String()),
          entryCount: CountSchema,
          isStale: Type.Boolean(),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type OptOutStatus = Static<typeof OptOutStatusSchema>;

const ReasonSchema = Type.Object({ reason: Type.String({ minLength: 1, maxLength: 2000 }) }, closed);
const collectionParams = Type.Object({ collectionId: IdSchema('ImageCollectionId') });
const quarantineParams = Type.Object({ quarantineId: IdSchema('QuarantineId') });

export const RESEARCH_IMAGES_API = {
  createImageCollection: endpoint({
    method: 'POST',
    path: '/api/v1/image-collections',
    summary:
      'Describe a collection of de-identified images, or a new version of one; nothing is copied before it is approved',
    body: NewImageCollectionSchema,
    response: ImageCollectionSchema,
  }),
  listImageCollections: endpoint({
    method: 'GET',
    path: '/api/v1/image-collections',
    summary: 'Collections of this site, every version of each',
    response: Type.Object({ collections: Type.Array(ImageCollectionSchema) }, closed),
  }),
  readImageCollection: endpoint({
    method: 'GET',
    path: '/api/v1/image-collections/:collectionId',
    summary: 'One collection, and how far its copies are',
    params: collectionParams,
    response: ImageCollectionSchema,
  }),
  approveImageCollection: endpoint({
    method: 'POST',
    path: '/api/v1/image-collections/:collectionId/approve',
    summary: 'Let the copies be made, of what is here and of what will arrive',
    params: collectionParams,
    body: ReasonSchema,
    response: ImageCollectionSchema,
  }),
  withdrawImageCollection: endpoint({
    method: 'POST',
    path: '/api/v1/image-collections/:collectionId/withdraw',
    summary: 'End a collection and remove its copies',
    params: collectionParams,
    body: ReasonSchema,
    response: ImageCollectionSchema,
  }),
  retryImageCollection: endpoint({
    method: 'POST',
    path: '/api/v1/image-collections/:collectionId/retry',
    summary: 'Try again what failed for good: studies, and the filling or removal of the whole collection',
    params: collectionParams,
    response: ImageCollectionSchema,
  }),
  listResearchStudies: endpoint({
    method: 'GET',
    path: '/api/v1/image-collections/:collectionId/studies',
    summary: 'What became of each study of a collection',
    params: collectionParams,
    query: Type.Object({ after: Type.Optional(KeySchema) }),
    response: Type.Object({ studies: Type.Array(ResearchStudySchema), next: Type.Optional(KeySchema) }, closed),
  }),
  readStudyReport: endpoint({
    method: 'GET',
    path: '/api/v1/image-collections/:collectionId/studies/:studyKey/report',
    summary: 'Every action of the de-identification on a study, by place and rule, without any value',
    params: Type.Object({ collectionId: IdSchema('ImageCollectionId'), studyKey: KeySchema }),
    response: StudyReportSchema,
  }),
  readImageManifest: endpoint({
    method: 'GET',
    path: '/api/v1/image-collections/:collectionId/manifest',
    summary: 'The copies: pseudonymous patients, studies, series, files and volumes',
    params: collectionParams,
    query: Type.Object({ after: Type.Optional(KeySchema) }),
    response: ImageManifestSchema,
  }),
  readResearchInstance: endpoint({
    method: 'GET',
    path: '/api/v1/image-collections/:collectionId/instances/:sopInstanceUid',
    summary: 'A copy, as a DICOM file',
    params: Type.Object({ collectionId: IdSchema('ImageCollectionId'), sopInstanceUid: UidSchema }),
  }),
  readResearchVolume: endpoint({
    method: 'GET',
    path: '/api/v1/image-collections/:collectionId/series/:seriesInstanceUid/volume',
    summary: 'A series of copies as one volume, rescaled, as .nii.gz',
    params: Type.Object({ collectionId: IdSchema('ImageCollectionId'), seriesInstanceUid: UidSchema }),
  }),
  listQuarantine: endpoint({
    method: 'GET',
    path: '/api/v1/image-quarantine',
    summary: 'Images that de-identification held back for a person',
    query: Type.Object({
      state: Type.Optional(Type.Union([Type.Literal('held'), Type.Literal('released'), Type.Literal('refused')])),
      after: Type.Optional(IdSchema('QuarantineId')),
    }),
    response: Type.Object(
      { items: Type.Array(QuarantinedSchema), next: Type.Optional(IdSchema('QuarantineId')) },
      closed,
    ),
  }),
  readQuarantined: endpoint({
    method: 'GET',
    path: '/api/v1/image-quarantine/:quarantineId',
    summary: 'Why an image was held back, and what would be done to its header',
    params: quarantineParams,
    response: QuarantineDetailSchema,
  }),
  renderQuarantined: endpoint({
    method: 'GET',
    path: '/api/v1/image-quarantine/:quarantineId/rendered',
    summary: 'A frame of a held image as PNG, as it is: it may show who the patient is',
    params: quarantineParams,
    query: Type.Object({ frame: Type.Optional(Type.Integer({ minimum: 1, description: 'from 1' })) }),
  }),
  releaseQuarantined: endpoint({
    method: 'POST',
    path: '/api/v1/image-quarantine/:quarantineId/release',
    summary: 'Let an image pass, with a statement on its pixels; the rest of the de-identification still applies',
    params: quarantineParams,
    body: PixelStatementSchema,
    response: QuarantinedSchema,
  }),
  refuseQuarantined: endpoint({
    method: 'POST',
    path: '/api/v1/image-quarantine/:quarantineId/refuse',
    summary: 'Never copy this content',
    params: quarantineParams,
    response: QuarantinedSchema,
  }),
  previewDeidentification: endpoint({
    method: 'POST',
    path: '/api/v1/deidentification-previews',
    summary: 'What a profile would do to a stored study; no copy is written',
    body: NewDeidentificationPreviewSchema,
    response: DeidentificationPreviewSchema,
  }),
  loadOptOuts: endpoint({
    method: 'POST',
    path: '/api/v1/opt-outs/:list',
    summary: 'Replace a local list of patients who opted out; their copies are removed',
    params: Type.Object({ list: OptOutListNameSchema }),
    body: NewOptOutListSchema,
    response: OptOutStatusSchema,
  }),
  readOptOuts: endpoint({
    method: 'GET',
    path: '/api/v1/opt-outs',
    summary: 'How old the lists of opted-out patients are; never who is on them',
    response: OptOutStatusSchema,
  }),
} as const;

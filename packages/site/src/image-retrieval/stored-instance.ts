/** Instances as they are asked for and found. */

/** Those that are absent say nothing; of those that are there one has to be equal. */
export type InstanceKeys = {
  readonly patientIds?: readonly string[];
  readonly studyInstanceUids?: readonly string[];
  readonly seriesInstanceUids?: readonly string[];
  readonly sopInstanceUids?: readonly string[];
};

export type StoredInstance = {
  readonly studyKey: string;
  readonly studyInstanceUid: string;
  readonly seriesInstanceUid: string;
  readonly sopInstanceUid: string;
  readonly sopClassUid: string;
  readonly transferSyntaxUid: string;
  readonly file: string;
  readonly dataSetStart: number;
  readonly dataSetBytes: number;
  /** 1 where the object does not say. */
  readonly frameCount: number;
  readonly hasImage: boolean;
};

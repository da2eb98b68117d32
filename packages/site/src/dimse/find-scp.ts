/** C-FIND as the one who answers (PS3.4 C.4.1), patient root and study root, hierarchical; cancelled between two matches. */
import { AppError } from '@lantern/contract';
import {
  type DataSet,
  type DimseOutcome,
  dataSetOfJson,
  encodeIdentifier,
  type JsonDataSet,
  type Match,
  type QueryRequest,
  STATUS,
} from '@lantern/dicom';
import { isQueryModel, queryOfIdentifier } from '../image-query/identifier-query.ts';
import type { ImageQueries } from '../image-query/image-queries.ts';
import type { AdmittedPeers } from './admission.ts';

const SPECIFIC_CHARACTER_SET = 0x00080005;

type FindScpDeps = { readonly queries: Pick<ImageQueries, 'matches'>; readonly peers: AdmittedPeers };

export function createFindScp({ queries, peers }: FindScpDeps) {
  return async function* find({
    peer,
    sopClass,
    identifier,
    signal,
    transferSyntax,
  }: QueryRequest): AsyncGenerator<Match> {
    if (peers.peerOf(peer)?.mayQuery !== true) return yield { status: STATUS.notAuthorized };
    if (!isQueryModel(sopClass)) return yield { status: STATUS.sopClassNotSupported };
    try {
      const { query, answerOf, isPartial } = queryOfIdentifier(identifier, sopClass);
      const asked = { actor: `dicom:${peer.callingAe}`, retrieveAe: peer.calledAe, webUrl: undefined, signal };
      for await (const match of queries.matches(query, asked)) {
        yield { identifier: encodeIdentifier(dataSetOfMatch(answerOf(match)), transferSyntax), isPartial };
      }
    } catch (caught) {
      const refusal = caught instanceof AppError ? refusalOf(caught) : undefined;
      if (refusal === undefined) throw caught;
      yield refusal;
    }
  };
}

/** In the default repertoire as long as everything is ASCII: many a modality knows no other. */
function dataSetOfMatch(match: JsonDataSet): DataSet {
  const dataSet = dataSetOfJson(match);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII
  if (!/^[\x00-\x7f]*$/.test(JSON.stringify(match))) return dataSet;
  const elements = new Map(dataSet.elements);
  elements.delete(SPECIFIC_CHARACTER_SET);
  return { ...dataSet, elements, characterSets: [] };
}

/** PS3.4 table C.4-1. */
function refusalOf(fault: AppError): DimseOutcome | undefined {
  switch (fault.code) {
    case 'input.unsupported':
      return { status: STATUS.dataSetDoesNotMatchSopClass, comment: fault.message };
    case 'input.invalid':
      return { status: STATUS.cannotUnderstand, comment: fault.message };
    case 'database.unavailable':
      return { status: STATUS.outOfResources, comment: fault.code };
    default:
      return undefined;
  }
}

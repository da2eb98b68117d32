/** What is asked: our imaging plane, and Orthanc beside it; each over one association and one HTTP connection that stay open. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { dataSetOfJson, identifierContext, openAssociation, SOP_CLASSES, tagOfKeyword } from '@lantern/dicom';
import { serveImages } from '../../packages/site/test/image-web.ts';
import { OWN_AE, PEER_AE, startTestImaging, type TestImaging } from '../../packages/site/test/imaging-harness.ts';
import { freePort, listening } from '../../tests/peers/dicom-programs.ts';

export type Question = Readonly<Record<string, string>>;

export type Archive = {
  readonly port: number;
  /** How many studies are found. */
  byDimse(question: Question): Promise<number>;
  byWeb(question: Question): Promise<number>;
  close(): Promise<void>;
};

export async function startOurs(name: string): Promise<Archive & { readonly node: TestImaging }> {
  const node = await startTestImaging({ name });
  const web = await serveImages(node);
  const archive = await ask(node.port, `${web.url}/dicom-web`);
  return {
    ...archive,
    node,
    async close() {
      await archive.close();
      await web.close();
      await node.close();
    },
  };
}

/** SQLite and files in `folder`, which need not survive a crash: only questions are measured. */
export async function startOrthanc(folder: string, plugin: string): Promise<Archive> {
  const [port, httpPort] = [await freePort(), await freePort()];
  const config = path.join(folder, 'orthanc.json');
  const settings = {
    StorageDirectory: path.join(folder, 'storage'),
    IndexDirectory: path.join(folder, 'storage'),
    DicomAet: OWN_AE,
    DicomPort: port,
    HttpPort: httpPort,
    AuthenticationEnabled: false,
    SyncStorageArea: false,
    DicomAlwaysAllowStore: true,
    DicomAlwaysAllowFind: true,
    LimitFindResults: 0,
    Plugins: [plugin],
    DicomWeb: { Enable: true, Root: '/dicom-web/' },
  };
  writeFileSync(config, JSON.stringify(settings));
  const env = { ...process.env, TCP_NODELAY: '1' }; // DCMTK holds packets back otherwise, 40 ms each
  const child = spawn('Orthanc', [config], { stdio: 'ignore', cwd: folder, env });
  const ended = once(child, 'close');
  await listening(port);
  await listening(httpPort);
  const archive = await ask(port, `http://127.0.0.1:${httpPort}/dicom-web`);
  return {
    ...archive,
    async close() {
      await archive.close();
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function ask(port: number, url: string): Promise<Archive> {
  const sopClass = SOP_CLASSES.studyRootFind;
  const client = await openAssociation({
    host: '127.0.0.1',
    port,
    calledAe: OWN_AE,
    callingAe: PEER_AE,
    contexts: [identifierContext(sopClass)],
  });
  return {
    port,
    async byDimse(question) {
      let count = 0;
      for await (const _match of client.find(dataSetOfJson(identifierOf(question)), { sopClass })) count += 1;
      return count;
    },
    async byWeb(question) {
      const headers = { accept: 'application/dicom+json', authorization: 'Bearer clinician' };
      // Orthanc 1.10 takes an encoded caret for three characters.
      const query = new URLSearchParams(question).toString().replaceAll('%5E', '^');
      const answer = await fetch(`${url}/studies?${query}`, { headers });
      if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
      return Object(await answer.json()).length;
    },
    close: () => client.release(),
  };
}

const VRS: Readonly<Record<string, string>> = { StudyDate: 'DA', PatientName: 'PN', ModalitiesInStudy: 'CS' };
/** What a list of studies on a screen shows. */
const SHOWN = ['StudyDate', 'StudyDescription', 'AccessionNumber', 'ModalitiesInStudy', 'PatientName', 'PatientID'];

function identifierOf(question: Question): object {
  const keys = { ...Object.fromEntries(SHOWN.map((keyword) => [keyword, ''])), StudyInstanceUID: '', ...question };
  const elements = Object.entries({ ...keys, QueryRetrieveLevel: 'STUDY' }).map(([keyword, value]) => {
    const tag = (tagOfKeyword(keyword) ?? 0).toString(16).padStart(8, '0');
    const vr = VRS[keyword] ?? (keyword.endsWith('UID') ? 'UI' : 'LO');
    return [tag, { vr, Value: value === '' ? [] : [value] }];
  });
  return Object.fromEntries(elements);
}

/** Diseases, signs and scores called after people and places: kept where they are meant, so that Parkinson's disease stays one. */
import { isGap, type Word } from './words.ts';

const EPONYMS: ReadonlySet<string> = new Set(
  `addison alport alzheimer apgar asperger babinski baker barlow barre barrett barthel basedow bazett becker behcet bell bence berger
bishop bouchard bowen bristol bristow brugada burkitt bruce charcot chagas cheyne child churg colles conn cooley coombs corrigan crohn
cushing down dressler duchenne dukes duke dupuytren edwards ehlers eisenmenger epstein ewing fallot fanconi felty fisher foley fontaine
framingham friedreich gardner garden gaucher gilbert glasgow gleason gram graves guillain hashimoto heberden helicobacter henoch hickman hill
hirschsprung hodgkin holter homan horner horton hunter huntington hutchinson jones kaposi kawasaki kerley kernig killip klinefelter
klippel koplik korsakoff kussmaul leydig lewy lisfranc lynch lyme mallory marfan mcburney meckel meniere merkel montgomery morton munchausen
murphy nash norwood osler osgood osgoode paget pancoast parkinson parkinsons perthes peyronie phalen pick pott poland pringle prader queen raynaud
reiter rett reye reynolds rinne rockwood romberg roth salter sheehan simmonds sjogren smith sturge still swan takayasu tay tinel
tourette trendelenburg trousseau turner virchow von waldenstrom waterlow weber wegener wells wernicke whipple williams willebrand wilms
wilson wolff york zenker zollinger stokes adams bright burger cullen turner grey ranson lauren child pugh barrett nissen whipple
hartmann lichtenstein kocher billroth fowler mantoux heaf schilling schirmer snellen ishihara weil wada mallampati cormack lehane
waterston blalock taussig goldman carter robb thompson austin moore charnley thomas braden norton broca abbey epworth edinburgh
schwann addenbrooke oxford rotterdam boston amsterdam stanford vancouver mitchell caldwell ludwig vincent quincke stevens johnson
lyell sweet kohler kienbock scheuermann schmorl freiberg sever galeazzi monteggia bennett rolando hawkins neer ottawa canadian chance jefferson`.split(
    /\s+/,
  ),
);

/** What an eponym is of. */
const OF_MEDICINE: ReadonlySet<string> = new Set(
  `disease diseases syndrome syndromes sign signs lymphoma palsy test tests score scores scale classification class grade fracture fractures
sarcoma tumour tumor ulcer oesophagus esophagus phenomenon node nodes nodule thyroiditis contracture diverticulum anaemia anemia ataxia chorea
dementia hernia cyst catheter line tetralogy position procedure manoeuvre maneuver operation bodies body cell cells pattern stain
positive negative criteria index lobe fever neuroma neuralgia purpura granulomatosis arteritis cardiomyopathy encephalopathy
psychosis nephropathy nephritis hydrocephalus malformation respiration respirations breathing collar frame splint stroke coma
staging stage stages tape monitor vasculitis tumours ganglion oedema edema point area reflex chart drain bag tube forceps retractor
gram canal duct gland glands muscle ligament membrane space pouch hand drop dystrophy mountain stool protein jones pugh
law formula equation protocol regimen rule rules risk trial study study's injury spots spot triad lines plane angle plate disc discs
factor spondylitis atrophy headache migraine gangrene angina paralysis myotomy fundoplication pacemaker block attack attacks
hearing hemiarthroplasty prosthesis cup patch questionnaire inventory barre sachs danlos parkinson white ellison weber willebrand
enlos schonlein barr virus crowe scholz schlatter sternberg parkinsonism chiari frances gottron's gottron ventilation
examination cognitive sleepiness depression postnatal crease lesion arthritis`.split(/\s+/),
);

/** What leaves no doubt, also where the patient has the same name: Bell's hand is the patient's, Bell's palsy is not. */
export const OF_DISEASE: ReadonlySet<string> = new Set(
  `disease syndrome lymphoma palsy sarcoma contracture oesophagus phenomenon thyroiditis ataxia chorea diverticulum dementia
granulomatosis arteritis encephalopathy anaemia coma hydrocephalus parkinsonism stroke barre yahr`.split(/\s+/),
);

const WORDS_AFTER_MAX = 3;
const GAP = " \t\u00a0'’`-–/";

/**
 * Whether the words from `first` to `last` stand in the name of a disease, a sign or a score: an eponym, and within a few words what it
 * is of. A title before them makes them a person. `ofWhat`: words that count.
 */
export function isEponymUse(
  { text, words }: { readonly text: string; readonly words: readonly Word[] },
  [first, last]: readonly [number, number],
  ofWhat: ReadonlySet<string> = OF_MEDICINE,
): boolean {
  for (let index = first; index <= last; index += 1) {
    const isPossessive = index > first && words[index]?.folded === 's';
    if (!isPossessive && !isEponym(words[index])) return false;
  }
  if (isTitled(text, words[first - 1], words[first])) return false;
  for (let index = last + 1; index <= last + WORDS_AFTER_MAX; index += 1) {
    const [before, word] = [words[index - 1], words[index]];
    if (before === undefined || word === undefined || !isGap(text, [before.end, word.start], GAP, 2)) return false;
    if (ofWhat.has(word.folded)) return true;
    if (word.folded !== 's' && !isEponym(word) && !isLink(word)) return false;
  }
  return false;
}

function isEponym(word: Word | undefined): boolean {
  return (
    word !== undefined && !word.isNumber && (EPONYMS.has(word.folded) || EPONYMS.has(word.folded.replace(/s$/, '')))
  );
}

function isLink({ folded }: Word): boolean {
  return folded === 'non' || folded === 'of' || folded === 'type' || folded === 'coma';
}

function isTitled(text: string, title: Word | undefined, word: Word | undefined): boolean {
  if (title === undefined || word === undefined || !PERSONS.has(title.folded)) return false;
  return isGap(text, [title.end, word.start], ' .\u00a0', 3);
}

const PERSONS: ReadonlySet<string> = new Set('mr mrs ms miss mx dr prof professor sir dame lady lord'.split(' '));

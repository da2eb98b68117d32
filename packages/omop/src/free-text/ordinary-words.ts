/**
 * Words that are no names where nothing else says so: everyday English, and medicine. A list of names is never complete; this one need
 * not be, since it only says where a guess (a misspelt name, a word after a role) is not made.
 */

const EVERYDAY = `a about above accompanied across act active actually adamant added adding advice advised after again against age aged ago agree agreed
all alone along already also although always am among an and another any anything appeared appears approx appropriate april are area
arranged arrived art as ask asked asking assessed at attend attended attending august autumn available away awaiting aware back bad bank
barber based be became because bed been before began began begin being below best better between bit black blue book booked both bring
broken brook brooks brother brought brown burn but by call called calling calm came can cannot care cared case cause caused change changed
charge chased chance check checked child children clean clear clearly close closed cold collect come comfortable complained complaining
completed concern concerned concerns confirmed consented consider considered contact contacted continue continued continues cook could
could country course cover covered current currently cut daily data date day days dear december decided declined declines denied denies denying
describe described despite did died different difficult difficulty discharge discharged discuss discussed do doctor does doing done
door down drink drinks drive drives driver drove due during each early eat eating eats eight eighth either eleven else email employed end
ended english enjoyed enough escorted even evening ever every everything evidence expected explained faith family far fast father feb
february feed feeding feel feeling feels felt few fifth find fine finished first fish five fly follow followed following food for former found
four fourth fox free frequent friday friend friends from front full further gave general gentleman get gets getting girl give given
giving glass go goes going gone good grace granddaughter grandson grant grateful great green grey ground group had half hall hand handed happy
hard has have having he head heard held help helped her here high him his history holiday home honey hope hospital hour hours house how
however hunt husband i if ill in increase increased independent independently inform informed inpatient into is issues it its itself
january job joined joy july june just keen keep keeping kept kind king knew know known lady lamb land lane large last late later lay leave
leaves left less letter letters level life light like likely limited list little live lived lives living local long longer look looked looking lost
lot low made main major make makes male man managed many march mark marked married marsh may me meals mean means meet meeting men met middle might
miss missed moderate moderately moment monday money month monthly months more morning most mother mouth move moved moving mr mrs ms much must my
name named near need needed needing needs neighbour neither never new newly next nice night nights nil nine no nobody non none normal normally
north not note noted notes nothing november now number o'clock object occasion occasional occasionally october of off offered often ok okay old older on once
one ongoing only open opened or organised other others our out outpatient outside over overnight own page paid parent parents park parking
part partner past path patient patients penny people per perhaps persistent person phone phoned pick place plan planned plans please
pleasant pleased pool poor poorly possible possibly post power present presented presenting presents previous previously prior private problem problems
provided provisional put question questions quickly quiet quite rang range raised rather ray read reading ready really reason reasonable received recent recently
record recorded reduced refer referral referred referring refused regarding regards regular regularly relation relationship relative remain remained remains
removed repeat repeated report reported reports request requested required requires rest resting result results retired return returned returns
review reviewed reviewing rich right ring river road room rose round routine rung safe said same sat satisfactory saturday saw say says school sea second see
seem seemed seems seen self send sending sent september settled seven several severe she sharp shop short shortly should show showed shower shows shut side
since sincerely single sister sit sits sitting six sixth sleep sleeping sleeps slept slow slowly small smoke smoker smokes smoking snow so some
someone son soon south speak spoke spoken spouse spring stable staff stand standing start started starts state stated states stay stayed staying still stone
stop stopped stopping straight street strong student subject such sudden suddenly suggest suggested summer sunday support supported sure swan
sweet take taken takes taking talk tea team tell telephone temple ten tend than thank thanks that the their them then there therefore these they thing
things think thinks third this those though thought three through throughout thursday tidy time times tired to today together told tolerated
tomorrow tonight too took top total towards town tried try trying tuesday twelve twice two under understand understands unfortunately unit
unremarkable until up upon us use used uses using usual usually van very via view visit visited visiting visits wait waiting wake walk walked walking
walks want wanted wants ward warm was wash washed water way we wednesday week weekend weekly weeks well went were west what when where
which while white who whole whom why wide widow widowed wife will wish wished wishes with within without wolf woman wood woods work worked
worker working works world worse worsened worsening would write written year years yes yesterday yet you young your yours`;

const MEDICINE = `abdomen abdominal abnormal abnormality abscess abuse accident ace acid acute adam addiction adenoma adhesions admission admit admitted adrenal adult advance adverse
airway albumin alcohol alert allergic allergies allergy alzheimer ambulance amiodarone anaemia anaesthesia anaesthetic anaesthetist anatomy aneurysm angina angiogram angiography
ankle antenatal anterior antibiotic antibiotics anxiety anxious aorta aortic apex appendix appetite appointment arm arms arrhythmia arrest arterial artery
arthritis aspirin assessment assistant asthma atrial audiology author axial axilla axillary bands bank baseline benign bilateral biliary bilirubin biopsy bladder bleed bleeding blister
blood bloods body bolus bone bones bowel bowels bradycardia brain breast breath breathing breathless breathlessness bronchial bruise bruising calcification calcium
calf cancer cannula capacity carcinoma cardiac cardiology cardiologist cardiothoracic care carer carers carotid carpal catheter cell cellulitis central cerebellar cerebral cervical
chest chemotherapy chronic cirrhosis clinic clinical clinician clopidogrel codeine cognitive colic collapse colon colonic colonoscopy coma commenced community complete complex
complication complications condition confused confusion conscious consolidation constipated constipation consultant consultation consultants contrast control controlled
coronary coroner corticosteroids cough coughing counselling cramp creatinine critical crp culture cultures cyst cystic daughter deceased deep defect deficit dementia
dental department depressed depression dermatology dermatologist deterioration diabetes diabetic diagnosed diagnosis dialysis diarrhoea diastolic diet dietician dietitian dilated discharge
disease dislocation disorder dizziness dizzy doppler dosage dose doses doctors drain dressing dressings drip driving drowsy drug drugs duct duodenal duration dvt
dysphagia dyspnoea ear ears echo echocardiogram ectopic effusion effusions elbow elderly elective elevated emergency endocrine endocrinology endoscopy endoscopist enlarged
enlargement epigastric epilepsy episode episodes erythema estimated ethnicity examination examined exercise external extremities eye eyes face facial faecal failure fall falls
fasting fatigue female femoral femur fever fibrillation fibrosis finding findings finger fit fits flu fluid fluids focal foot fracture fractures frail frailty function functional
gait gallbladder gallstones gastric gastroenterology gastroenterologist gcs genetic geriatric geriatrics geriatrician glucose gout gp gynaecology gynaecologist haematology haematologist haematoma haemoglobin haemorrhage haemorrhagic
headache headaches health healthy hearing heart heartburn hepatic hepatitis hernia hip hips hist histology hormone hydrated hypertension hypertensive hypotension hypoxia
idiopathic iliac imaging immune impaired impairment implant impression incidental incision incontinent indication infarct infarction infect infection infections infective inferior
inflammation inflammatory inhaler inhalers injection injuries injury inpatients insulin intact intensive intensivist internal interventional intervention intestinal intravenous invasive investigation
investigations involvement iron irregular ischaemia ischaemic isolated itch itching jaundice jaw joint joints kidney kidneys knee knees known lab labs lateral laxative laxatives
leg legs lesion lesions leukaemia liaison ligament limb limbs line lip lithium liver lobe lower lumbar lump lung lungs lymph lymphoma male malignancy malignant mass mastectomy maternity
medial medical medication medications medicine medicines melanoma memory mental meningitis metabolic metastases metastasis metastatic metformin microbiology microbiologist midwife midwives mild mildly
migraine mitral mobile mobilised mobilising mobility monitor monitored monitoring morphine motor mri multiple murmur muscle muscles myeloma myocardial nail nasal nausea neck negative neonatal
nephrology nephrologist nerve nerves nervous neurological neurology neurologist neurosurgery neurosurgeon neutrophils nodule nodules nodes node nose nurse nurses nursing nutrition obese obesity observation observations observed obs
obstetrics obstetrician obstruction occupational oedema oesophagus oncology oncologist onset operation operative operator ophthalmology ophthalmologist optician oral orbit orbits oriented orthopaedic orthopaedics osteoarthritis osteoporosis ovarian
ovary oxygen pacemaker paediatric paediatrics paediatrician pain pains painful palliative palpable palpitations pancreas pancreatic pancreatitis paracetamol paralysis parathyroid paramedic paramedics parietal pathology pathologist pelvic pelvis penicillin
peptic percutaneous perforation perfusion pericardial peripheral peritoneal pharmacist pharmacy physician physio physiotherapist physiotherapy pituitary platelets pleural pneumonia pneumothorax podiatry podiatrist polyp polyps popliteal porter positive
posterior postoperative practice practitioner pregnancy pregnant premature presentation pressure procedure prognosis prolapse prostate prostatic proximal psychiatry psychiatrist psychiatric psychology psychologist
psychosis pulmonary pulse pupils radial radiation radiographer radiology radiologist radiotherapy rash rectal recurrence recurrent reflex reflexes reflux registrar regular rehab rehabilitation renal resident respiratory
resection retinopathy resuscitation rheumatoid rheumatology rheumatologist rhythm rib ribs sacral safeguarding saline saturations saturation scan scans scar sclerosis secretary sedation seizure seizures senior sensation sepsis septic
sertraline serum service services shock shoulder shoulders signs simvastatin sinus skin skull social sodium soft solicitor speech spinal spine spleen splenic sputum statin stenosis stent steroid steroids stent stomach stool stools
stroke subclavian substance sugar suicidal superior surgery surgeon surgeons surgical suspected sutures swab sweats swelling swollen symptom symptoms syncope syndrome systemic systolic tablet tablets tachycardia tamponade tender tenderness
tendon test testicular tests theatre theatres therapist therapy thigh thoracic thorax throat thrombosis thrombus throughout thumb thyroid tibia tibial toe tongue tonsils trachea transfer transferred transfusion transplant trauma treated treatment tremor triage
tricuspid troponin tube tuberculosis tumour tumours ulcer ulcers ultrasound unconscious underwent unwell upper ureter urea urgent urinary urine urology urologist uterus vaccination vaginal valve valves varicose vascular vein veins venous ventricle ventricular
vertebra vertebral vertigo viral virus vision visual vital vitals vitamin vomited vomiting warfarin weak weakness weaning weight wheeze worried wound wounds wrist xray yellow zone
apixaban atorvastatin bisoprolol ramipril amlodipine furosemide omeprazole lansoprazole salbutamol prednisolone tiotropium fluoxetine citalopram amoxicillin doxycycline gentamicin heparin enoxaparin tinzaparin rivaroxaban digoxin levothyroxine carbimazole
folic folate ferrous thiamine tramadol oxycodone gabapentin pregabalin amitriptyline mirtazapine haloperidol lorazepam diazepam donepezil memantine levodopa madopar sinemet cocodamol ibuprofen naproxen diclofenac
admissions dietetics endocrinologist enterography conditional elastography spectroscopy cholangiopancreatography venogram enterographic outpatients clinics directorate trust nhs mdt ct mr mri us pet xr itu icu hdu ae sho fy fy1 fy2 st1 st2 st3 cns anp hca rn rmn ot slt
locum specialist speciality specialty doctors trainee foundation associate partner manager matron sister coordinator lead director chief executive band office secretary team teams receptionist support worker liaison surgeon assistant`;

let words: ReadonlySet<string> | undefined;

/** `folded`: in small letters, without accents. */
export function isOrdinaryWord(folded: string): boolean {
  words ??= new Set(`${EVERYDAY} ${MEDICINE}`.split(/\s+/));
  return words.has(folded) || isMedicalByEnding(folded);
}

const ENDING_OF_MEDICINE =
  /(?:itis|osis|oma|omas|aemia|aemic|emia|ectomy|ostomy|otomy|oscopy|graphy|logy|logist|logical|pathy|plasty|uria|algia|pril|olol|statin|sartan|azole|mycin|cillin|mab|nib|prazole|tidine|dipine|thiazide|gliptin|gliflozin|parin|xaban|triptan|setron|cycline|floxacin|vir|phobia|plegia|paresis|trophy|genic|megaly|rrhoea|rrhage|tension|tensive|cardia|pnoea|phagia|phasia|oedema|ation|ations)$/;
const ENDING_LENGTH_MIN = 6;

function isMedicalByEnding(folded: string): boolean {
  return folded.length >= ENDING_LENGTH_MIN && ENDING_OF_MEDICINE.test(folded);
}

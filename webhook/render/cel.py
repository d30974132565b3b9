"""The expressions of the policy in the API server: from a pod and the table of answers to a patch or a refusal.

Each mapping holds variables in an order in which each names only those before it.  `V` abbreviates ``variables.``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from webhook.admission.assigned import DECIDED
from webhook.admission.others import ACCELERATORS, CHOOSING, FRACTIONS
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU
from webhook.slices.request import MOST_CHOICES

__all__ = ["CHOSEN", "DECIDED", "PATCH", "POD", "PRINTABLE", "READ", "REFUSALS", "SETTLED", "grammar"]

MOST_CONTAINERS, MOST_QUANTITIES, MOST_TOLERATIONS, MOST_LABELS = 100, 1_000, 500, 100
"""Of one pod that is decided about.  Quantities are limits and requests; labels are those that select nodes."""
LONGEST_RECORD = 2_000
"""Characters of ``gpu-slice/assigned``: what is asked for, one container, and its slice."""
MOST_QUOTED = 200
"""Characters of a text in a message.  The API server drops a message of more than 5 KiB.  Source: k8s.io/apiserver
``pkg/apis/cel/config.go``."""

PRINTABLE = "^[ -~]+$"
"""A message repeats what a user wrote only if a terminal can show it."""

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_NUMBER = "[1-9][0-9]{0,3}"


def grammar(gpus: Iterable[str]) -> str:
    """What is read of the annotation, as a regular expression: one request, and the GPUs by their names."""
    profile = rf"(?:{_NUMBER}c\.)?{_NUMBER}g\.{_NUMBER}gb(?:[+.](?:me\.all|me|gfx)|-me)?"
    counted = rf"(?:{_NUMBER}x)?(?:{profile}|{_NUMBER}/{_NUMBER}|[1-9][0-9]{{0,4}}(?:gb|Gi))"
    choice = rf"(?:shared|{counted})(?: *@ *(?:{'|'.join(map(re.escape, gpus))}))?"
    return rf"^(?:[a-z0-9](?:[-a-z0-9]{{0,61}}[a-z0-9])? *= *)?{choice}(?: *\| *{choice})*$"


def _cel(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: _full(text) for name, text in variables.items()}


def _full(text: str) -> str:
    return re.sub(r"\bV\.", "variables.", " ".join(text.split()))


_ASKS = """({0}.filter(r, r == 'nvidia.com/gpu' || r.startsWith('nvidia.com/mig-')
    || r.startsWith('nvidia.com/') && r.endsWith('.shared')).filter(r, string({0}[r]) != '0'))"""
_LIMITS, _REQUESTS = "c.?resources.?limits.orValue({})", "c.?resources.?requests.orValue({})"


def _any_of(words: Iterable[str]) -> str:
    """A pattern of RE2 for one of *words*, which have no special character but dots."""
    return "(" + "|".join(word.replace(".", "[.]") for word in words) + ")"


# As `webhook.admission.others` reads it.
_ANOTHERS = f"""(r.contains('/') && !r.matches('^nvidia[.]com/(gpu$|mig-|.*[.]shared$)')
    && (r.lowerAscii().matches('gpu|^{_any_of(ACCELERATORS)}') || r.matches('^nvidia[.]com/([A-Z]|priority$)')))"""
_OF_OTHERS = f"""V.all.exists(c, {_LIMITS}.exists(r, {_ANOTHERS}) || {_REQUESTS}.exists(r, {_ANOTHERS}))
    || V.annotations.exists(k, k.matches('^{_any_of(FRACTIONS)}|/.*{_any_of(CHOOSING)}|{_any_of(CHOOSING)}.*/'))"""


def _short(text: str) -> str:
    return f"(size({text}) <= {MOST_QUOTED} ? {text} : {text}.substring(0, {MOST_QUOTED}) + '...')"


POD = _cel(
    {
        "annotations": "object.metadata.?annotations.orValue({})",
        "selector": "object.spec.?nodeSelector.orValue({})",
        "required": f"object.spec.?affinity.?nodeAffinity.?{_REQUIRED}.?nodeSelectorTerms.orValue([])",
        # What costs least comes first, and where this is true nothing else is evaluated.
        "large": f"""size(object.spec.containers) + size(object.spec.?initContainers.orValue([])) > {MOST_CONTAINERS}
            || size(object.spec.?tolerations.orValue([])) > {MOST_TOLERATIONS}
            || size(object.spec.?topologySpreadConstraints.orValue([])) > {MOST_TOLERATIONS}
            || size(V.selector) + size(V.required) > {MOST_LABELS}
            || size(V.annotations[?'gpu-slice/assigned'].orValue('')) > {LONGEST_RECORD}
            || V.required.map(t, size(t.?matchExpressions.orValue([]))).sum() > {MOST_LABELS}
            || object.spec.containers.map(c, size({_LIMITS}) + size({_REQUESTS})).sum()
             + object.spec.?initContainers.orValue([]).map(c, size({_LIMITS}) + size({_REQUESTS})).sum()
             > {MOST_QUANTITIES}""",
        "inits": "object.spec.?initContainers.orValue([]).map(c, dyn(c))",
        "containers": "object.spec.containers.map(c, dyn(c))",
        "all": "V.large ? [] : V.inits + V.containers",
        "names": "V.all.map(c, string(c.name))",
        # The GPU resources of each container with their counts, from limits and requests.
        "asking": f"""V.all.map(c, {_ASKS.format(_LIMITS)}.map(r, r + '=' + string({_LIMITS}[r]))
            + {_ASKS.format(_REQUESTS)}.filter(r, !(r in {_LIMITS}) || string({_LIMITS}[r]) != string({_REQUESTS}[r]))
              .map(r, r + '=' + string({_REQUESTS}[r])))""",
        # The containers that ask for a whole GPU, with their counts, and what the namespace gives to the only one.
        "whole": f"""V.names.transformList(i, n, V.asking[i].exists(a, a.startsWith('{WHOLE_GPU}=')),
            [n, V.asking[i].filter(a, a.startsWith('{WHOLE_GPU}='))[0]])""",
        "default": """'gpu-slice' in V.annotations
            || !('gpu-slice/default' in namespaceObject.metadata.?labels.orValue({})) ? ''
            : V.defaults[?(request.namespace in V.namespaces ? request.namespace : '*')].orValue('')""",
        "byDefault": f"""V.default != '' && size(V.whole) == 1 && V.whole[0][1] == '{WHOLE_GPU}=1'
            && !has(object.spec.resourceClaims) && !({_OF_OTHERS})""",
    }
)
"""The pod."""

READ = _cel(
    {
        "plain": "V.asked.replace(' ', '')",
        "named": "V.readable && V.plain.contains('=') ? V.plain.split('=')[0] : ''",
        "choices": "V.readable ? (V.named == '' ? V.plain : V.plain.substring(size(V.named) + 1)).split('|') : []",
        # Count and slice.
        "counted": """V.choices.map(c, c.matches('^[1-9][0-9]{0,3}x')
            ? [c.substring(0, c.indexOf('x')), c.substring(c.indexOf('x') + 1)] : ['1', c])""",
        # Count, key, number, denominator.
        "wanted": """V.counted.map(c, c[1].matches('^[0-9]+/')
            ? [c[0], '/' + c[1].substring(size(c[1].find('^[0-9]+/[0-9]+'))), c[1].find('^[0-9]+'),
               c[1].find('/[0-9]+').substring(1)]
            : c[1].matches('^[0-9]+(gb|Gi)')
            ? [c[0], c[1].substring(size(c[1].find('^[0-9]+'))), c[1].find('^[0-9]+'), '1']
            : [c[0], c[1], '0', '1'])""",
        "policy": "request.namespace in V.namespaces ? V.namespaces[request.namespace] : 0",
        # For each choice that has an answer: the answers, the best first, and the count.
        "found": """V.wanted.map(w, w[1] in V.keys[V.policy]
            ? V.rows[V.keys[V.policy][w[1]]].filter(r,
              int(w[2]) * r[1] <= r[0] * int(w[3]) && int(w[0]) <= r[2]).map(r, [r[3], int(w[0])])
            : []).filter(answers, size(answers) > 0)""",
        "answer": "size(V.found) > 0 ? V.found[0][0][0] : -1",
        "count": "size(V.found) > 0 ? string(V.found[0][0][1]) : ''",
        "resource": "V.answer < 0 ? '' : V.resources[V.answer]",
    }
)
"""What is asked for, and the answer."""

CHOSEN = _cel(
    {
        "rescued": f"""V.containers.transformList(i, c, V.asking[size(V.inits) + i].exists(a,
            a.startsWith('{WHOLE_GPU}=')), string(c.name))""",
        "asker": "V.containers.transformList(i, c, size(V.asking[size(V.inits) + i]) > 0, string(c.name))",
        "usual": "V.annotations[?'kubectl.kubernetes.io/default-container'].orValue('')",
        "assigned": "V.byDefault ? '' : V.annotations[?'gpu-slice/assigned'].orValue('')",
        "visited": "V.assigned.startsWith(V.asked + ' -> ') && V.assigned.contains('=')",
        "chosen": """V.visited ? V.assigned.substring(size(V.asked + ' -> ')).split('=')[0]
            : V.named != '' ? V.named : size(V.containers) == 0 ? '' : size(V.containers) == 1 ? V.containers[0].name
            : size(V.rescued) == 1 ? V.rescued[0]
            : V.containers.exists_one(c, c.name == V.usual) ? V.usual
            : size(V.asker) == 1 ? V.asker[0] : V.containers[0].name""",
        "at": "V.names.indexOf(V.chosen)",
        "record": "V.asked + ' -> ' + V.chosen + '=' + V.resource + ':' + V.count",
        "own": "V.at < 0 ? [] : V.asking[V.at]",
        "given": "V.resource + '=' + V.count",
        "beside": "V.names.transformList(i, n, i != V.at && size(V.asking[i]) > 0, n + ': ' + V.asking[i].join(', '))",
        # Labels in the nodeSelector that may exclude a pool which would otherwise be the answer.
        "selecting": f"""V.answer < 0 ? [] : V.selector.filter(k, k in V.labels
            && V.labels[k] != V.selector[k] && V.selectors[V.answer][?k].orValue('-') != V.selector[k]
            && !(k == '{POOL_LABEL}' && V.pools[V.answer] == [string(V.selector[k])]))""",
        "requiring": f"""V.answer < 0 ? [] : V.required.filter(t, !has(t.matchExpressions)
            || t.matchExpressions.exists(e, e.key in V.labels && !(e.key == '{POOL_LABEL}' && e.operator == 'In'
            && e.values == V.pools[V.answer])))""",
    }
)
"""The container that gets the slice, and what stands in the way."""

_CANNOT = ", which the policy in the cluster cannot decide. "
_FIELD = "metadata.annotations[gpu-slice]: "

_MANY = (
    f"more than {MOST_CONTAINERS} containers, {MOST_QUANTITIES} limits and requests, {MOST_TOLERATIONS} tolerations or "
    f"{MOST_LABELS} labels for its nodes"
)

REFUSALS = [
    (_full(condition), _full(message))
    for condition, message in (
        ("V.large", f"'spec: it has {_MANY}{_CANNOT}Use fewer of them'"),
        (
            f"!V.readable || size(V.choices) > {MOST_CHOICES}",
            f"""'{_FIELD}this pod asks for \\'' + {_short("V.asked")} + '\\'{_CANNOT}Use a slice such as 1g.5gb
            or 1g.5gb@a100, or several with | between them, for one container'""",
        ),
        (
            "V.at < 0",
            f"""'{_FIELD}no container is called \\'' + {_short("V.chosen")} + '\\'. Use one of '
            + {_short("V.names.join(', ')")}""",
        ),
        (
            "V.answer < 0",
            f"""'{_FIELD}no pool gives \\'' + {_short("V.asked")} + '\\' to namespace \\'' + request.namespace + '\\'. '
            + (V.slices[V.policy] == '' ? 'Ask the platform team' : 'Use one of ' + V.slices[V.policy])""",
        ),
        (
            """!V.byDefault && 'gpu-slice/assigned' in V.annotations && V.assigned != V.record
            || V.visited && V.named != '' && V.named != V.chosen
            || V.visited && !(V.given in V.own)""",
            f"""'metadata.annotations[gpu-slice/assigned]: it is \\'' + {_short("V.assigned")} + '\\'{_CANNOT}Use the
            pod without gpu-slice/assigned and the slices that it names'""",
        ),
        (
            f"""!V.own.all(a, a == '{WHOLE_GPU}=1' || a == V.given && (V.visited || V.resource != '{WHOLE_GPU}'))
            || V.own.exists(a, V.own.exists(b, a != b && a.split('=')[0] == b.split('=')[0]))""",
            f"""'spec.containers: ' + {_short("V.chosen")} + ' asks for ' + {_short("V.own.join(', ')")}
            + ' beside its slice{_CANNOT}Use the annotation alone'""",
        ),
        (
            "size(V.beside) > 0",
            f"""'spec.containers: ' + {_short("V.beside[0]")} + ' stands beside the slice of ' + {_short("V.chosen")}
            + '{_CANNOT}Use GPUs in one container'""",
        ),
        (
            "size(V.selecting) > 0",
            f"""'spec.nodeSelector[' + V.selecting[0] + ']: it is \\'' + {_short("V.selector[V.selecting[0]]")}
            + '\\'{_CANNOT}Use a GPU in the annotation, as in 1g.5gb@a100, in place of the label'""",
        ),
        (
            "size(V.requiring) > 0",
            f"""'spec.affinity.nodeAffinity.{_REQUIRED}: it is about labels of the pools{_CANNOT}Use a GPU in the
            annotation, as in 1g.5gb@a100, in place of the labels'""",
        ),
        (
            "object.spec.?os.?name.orValue('') == 'windows'",
            "'spec.os.name: it is \\'windows\\', and every node with slices runs linux. Use linux'",
        ),
        # A pod that has said nothing may wait for a label that no node has, so it keeps its whole GPU.
        (
            "V.byDefault && (size(V.required) > 0 || V.selector.exists(k, !(k in V.labels)))",
            f"'spec.nodeSelector: it may name another GPU{_CANNOT}Use the annotation gpu-slice'",
        ),
    )
]
"""What is refused, in this order, each with its message."""

_COVERS = """((!has(t.effect) || t.effect == '' || t.effect == taint.effect)
    && (t.?operator.orValue('Equal') == 'Exists' ? t.?key.orValue('') in ['', taint.key]
    : t.?operator.orValue('') in ['', 'Equal'] && t.?key.orValue('') == taint.key
    && t.?value.orValue('') == taint.value))"""
_SAME = """t.?key.orValue('') == V.tolerations[n].key && t.?operator.orValue('') == V.tolerations[n].operator
    && t.?effect.orValue('') == V.tolerations[n].effect && !has(t.value) && !has(t.tolerationSeconds)"""

SETTLED = _cel(
    {
        "section": "V.at < size(V.inits) ? 'initContainers' : 'containers'",
        "resourcesPath": """'/spec/' + V.section + '/' + string(V.at < size(V.inits) ? V.at : V.at - size(V.inits))
            + '/resources'""",
        "quantity": "{V.resource: V.count}",
        # Another webhook took away the nodeSelector: the names of the pools say the same.
        "stripped": """V.visited && V.selectors[V.answer].exists(k,
            V.selector[?k].orValue('') != V.selectors[V.answer][k])""",
        "lackingLabels": """V.selectors[V.answer].transformMap(k, v,
            !V.stripped && V.selector[?k].orValue('') != v, v)""",
        "spread": """object.spec.?topologySpreadConstraints.orValue([]).exists(c,
            c.whenUnsatisfiable == 'DoNotSchedule')""",
        "pinned": f"""(V.byPool[V.answer] || V.spread || V.stripped)
            && !(V.selector[?'{POOL_LABEL}'].orValue('') in V.pools[V.answer])""",
        "inPools": f"{{'key': dyn('{POOL_LABEL}'), 'operator': dyn('In'), 'values': dyn(V.pools[V.answer])}}",
        "tolerated": "object.spec.?tolerations.orValue([]).map(t, dyn(t))",
        # For each taint, what the first toleration does that covers it: one for a while has the pod evicted.
        "covering": f"""V.taints.map(taints, taints.map(taint, (V.tolerated.filter(t, {_COVERS}).map(t,
            has(t.tolerationSeconds) && taint.effect == 'NoExecute' ? 'ends' : 'covers') + ['lacks'])[0]))""",
        "ending": "V.needs[V.answer].filter(n, 'ends' in V.covering[n])",
        "lackingTolerations": f"""V.needs[V.answer].filter(n, size(V.taints[n]) == 0
            ? !V.tolerated.exists(t, {_SAME}) : !('ends' in V.covering[n]) && 'lacks' in V.covering[n])""",
    }
)
"""What is written."""


def _add(path: str, value: str) -> str:
    return f"JSONPatch{{op: 'add', path: {path}, value: {value}}}"


def _give(kind: str) -> str:
    """Write the slice into limits or requests, and remove a whole GPU.  A zero stays, as a LimitRange may demand it."""
    section, path = f"V.all[V.at].resources.{kind}", f"V.resourcesPath + '/{kind}"
    return f"""(!has({section}) ? [{_add(f"{path}'", "V.quantity")}]
        : (V.resource != '{WHOLE_GPU}' && '{WHOLE_GPU}' in {section} && string({section}['{WHOLE_GPU}']) != '0'
        ? [JSONPatch{{op: 'remove', path: {path}/nvidia.com~1gpu'}}] : [])
        + [{_add(f"{path}/' + jsonpatch.escapeKey(V.resource)", "V.count")}])"""


_TERMS = "{'nodeSelectorTerms': [{'matchExpressions': [V.inPools]}]}"

PATCH = _full(
    f"""(!V.byDefault ? [] : (has(object.metadata.annotations) ? [] : [{_add("'/metadata/annotations'", "{}")}])
    + [{_add("'/metadata/annotations/gpu-slice'", "V.asked")},
    {_add("'/metadata/annotations/gpu-slice~1default'", "request.namespace")}])
    + (V.problem != '' ? [] : [{_add("'/metadata/annotations/gpu-slice~1assigned'", "V.record")},
    {_add("'/metadata/annotations/gpu-slice~1pools'", "V.poolNames[V.answer]")}]
    + (!has(V.all[V.at].resources) ? [{_add("V.resourcesPath", "{'limits': V.quantity, 'requests': V.quantity}")}]
    : {_give("limits")} + {_give("requests")})
    + V.ending.map(n, {_add("'/spec/tolerations/0'", "V.tolerations[n]")})
    + (has(object.spec.tolerations) ? V.lackingTolerations.map(n, {_add("'/spec/tolerations/-'", "V.tolerations[n]")})
    : size(V.lackingTolerations) == 0 ? []
    : [{_add("'/spec/tolerations'", "V.lackingTolerations.map(n, V.tolerations[n])")}])
    + (has(object.spec.nodeSelector) ? V.lackingLabels.map(k,
    {_add("'/spec/nodeSelector/' + jsonpatch.escapeKey(k)", "V.lackingLabels[k]")})
    : size(V.lackingLabels) == 0 ? [] : [{_add("'/spec/nodeSelector'", "V.lackingLabels")}])
    + (!V.pinned ? []
    : !has(object.spec.affinity)
    ? [{_add("'/spec/affinity'", f"{{'nodeAffinity': {{'{_REQUIRED}': {_TERMS}}}}}")}]
    : !has(object.spec.affinity.nodeAffinity)
    ? [{_add("'/spec/affinity/nodeAffinity'", f"{{'{_REQUIRED}': {_TERMS}}}")}]
    : !has(object.spec.affinity.nodeAffinity.{_REQUIRED})
    ? [{_add(f"'/spec/affinity/nodeAffinity/{_REQUIRED}'", _TERMS)}]
    : V.required.transformList(i, t, !t.matchExpressions.exists(e,
    e.key == '{POOL_LABEL}' && e.operator == 'In' && e.values == V.pools[V.answer]),
    {
        _add(
            f"'/spec/affinity/nodeAffinity/{_REQUIRED}/nodeSelectorTerms/' + string(i) + '/matchExpressions/-'",
            "V.inPools",
        )
    })))
    + [{_add("'/metadata/annotations/gpu-slice~1decided-by'", "V.problem == '' ? 'policy' : V.problem")}]"""
)
"""The operations for a pod that the policy decides about, and the mark."""

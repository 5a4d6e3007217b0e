"""What is read from a file is what stands in it, whatever the locale, and no file ends the process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cellsim.errors import ModelError
from cellsim.foreign.native import nesting
from cellsim.model.formulas import parse_formula
from cellsim.model.model import load_model
from cellsim.petab.problem import read_problem_file, read_yaml
from cellsim.results import read_saved

ROOT = Path(__file__).parents[2]


def elsewhere(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, so that it may set its locale, or end."""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# ---------------------------------------------------------------- the decimal comma


@pytest.fixture(scope="module")
def comma(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a locale whose decimal mark is a comma."""
    folder = tmp_path_factory.mktemp("locales")
    made = shutil.which("localedef")
    if made:
        run = [made, "-i", "de_DE", "-f", "UTF-8", str(folder / "de_DE.UTF-8")]
        made = subprocess.run(run, check=False, capture_output=True).returncode == 0 and made
    if not made:
        why = "no locale with a decimal comma can be made here (Debian: apt-get install locales)"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return str(folder)


DECIMAL_COMMA = """
import locale, sys, tempfile
locale.setlocale(locale.LC_ALL, 'de_DE.UTF-8')
assert locale.localeconv()['decimal_point'] == ','
from threading import Thread
import cellsim as cs
from cellsim.model.formulas import parse_formula
m = cs.load_model("x=10.5; x'=-k*x + 0.25*(time > 3.5); k=0.75; at (x < 1.5): x = 2.5e-3")
again = [cs.load_model(m.to_sbml()), cs.load_model(m.to_antimony()), cs.load_model(m.to_sbml().replace('UTF-8', 'UTF-16'))]
assert m['k'].value == 0.75 and m['x'].initial == 10.5
assert all((each.states, each.parameters) == (m.states, m.parameters) for each in again), again
assert all(str(each.events[0].trigger) == str(m.events[0].trigger) for each in again), again
assert [str(v) for _, v in m.events[0].assignments] == ['0.00250000000000000']
assert '0.75' in m.to_sbml() and '10.5' in m.to_antimony() and ',75' not in m.to_sbml() + m.to_antimony()
assert float(parse_formula('1.5e-3*2.5')) == 1.5e-3 * 2.5
p = cs.load_model('persistence')
assert (p['k_LT'].value, p['delta_L'].value) == (0.014, 0.69)
S = cs.Schedule.at([0], cells=5e7, product='infusate_auto')
seen = cs.simulate(p, S, [1, 3])['viable_auto'], cs.simulate(cs.load_model('models/persistence.xml'), S, [1, 3])['viable_auto']
print(*[round(float(x), 3) for each in seen for x in each])
marks = []
def other():
    for _ in range(10):
        marks.append(cs.load_model("x=10.5; x'=-k*x; k=0.75")['k'].value)
threads = [Thread(target=other) for _ in range(3)]
[each.start() for each in threads]
marks += [cs.load_model(m.to_sbml())['k'].value for _ in range(10)]
[each.join() for each in threads]
assert set(marks) == {0.75}, set(marks)
assert locale.setlocale(locale.LC_NUMERIC) == 'de_DE.UTF-8' and locale.format_string('%.1f', 0.5) == '0,5'
from cellsim.case.export import export_problem
from cellsim.case.export_v1 import export_v1
case = cs.load_case('sjogren_rfib')
for write in (export_problem, export_v1):
    file = next(write(case, tempfile.mkdtemp()).parent.glob('*.xml'))
    assert cs.load_model(file)['k_TB'].value == cs.load_model(case.model)['k_TB'].value
"""


def test_a_decimal_comma_changes_no_number_and_is_there_afterwards(comma: str) -> None:
    """Witnesses: the numbers as written, Python's own reading of them, and the same model without a locale."""
    done = elsewhere(DECIMAL_COMMA, LOCPATH=comma)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["25.916", "6.828", "25.916", "6.828"]


# ---------------------------------------------------------------- hostile files

DEEP_XML = (
    '<?xml version="1.0"?><sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="m">'
    '<listOfParameters><parameter id="q" constant="false"/></listOfParameters><listOfRules><assignmentRule variable="q">'
    '<math xmlns="http://www.w3.org/1998/Math/MathML">{}<cn>1</cn>{}</math></assignmentRule></listOfRules></model></sbml>'
)
HOSTILE = {
    "deep XML": "load_model(DEEP.format('<apply><sin/>' * 20000, '</apply>' * 20000))",
    "deep notes": "load_model('<sbml>' + '<a>' * 100000)",
    "deep XML file": "load_model(Path(FILE))",
    "brackets": "load_model('x = 1; y := ' + '(' * 20000 + 'x' + ')' * 20000)",
    "functions": "load_model('x = 1; y := ' + 'sin(' * 20000 + 'x' + ')' * 20000)",
    "open brackets": "load_model('x = 1; y := ' + '(' * 100000)",
    "differences": "load_model('x = 1; y := ' + '-'.join(['x'] * 20000))",
    "powers": "load_model('x = 1; y := ' + '^'.join(['x'] * 20000))",
    "signs": "load_model('x = 1; y := ' + '- ' * 20000 + 'x')",
    "negations": "load_model('x = 1; at (' + '!' * 20000 + '(x > 1)): x = 2')",
    "quotients in brackets": "load_model('x = 1; y := ' + '1/(1-' * 900 + 'x' + ')' * 900)",
    "models in models": "load_model('model m0() x=1 end;' + ''.join(f'model m{k}() a: m{k-1}(); b: m{k-1}() end;' for k in range(1, 40)))",
    "functions of functions": "load_model('function f0(x) sin(x)*x end;' + ''.join(f'function f{k}(x) f{k-1}(x)*sin(f{k-1}(x) + 1) end;' for k in range(1, 40)) + 'model q() z = 1; y := f39(z) end')",
    "a function within itself": "load_model('function f(x) x*sin(x + 1) end; model q() z = 1; y := ' + 'f(' * 30 + 'z' + ')' * 30 + ' end')",
    "formula in brackets": "parse_formula('(' * 40000 + 'x' + ')' * 40000)",
    "formula of differences": "parse_formula('-'.join(['x'] * 49000))",
    "formula of functions": "parse_formula('sin(' * 300 + 'x' + ')' * 300)",
}


def test_no_model_file_ends_the_process(tmp_path: Path) -> None:
    """Each is refused in words by a process that goes on: witness, the word printed after the last of them."""
    file = tmp_path / "deep.xml"
    file.write_text(DEEP_XML.format("<apply><sin/>" * 20000, "</apply>" * 20000))
    lines = [
        "from pathlib import Path; from threading import Thread",
        "from cellsim.errors import ModelError; from cellsim.model.model import load_model",
        "from cellsim.model.formulas import parse_formula",
        f"DEEP, FILE = {DEEP_XML!r}, {str(file)!r}",
        "def refused(what, do):",
        "    try: do()",
        "    except ModelError as error: assert 20 < len(str(error.problems[0])) < 600, error",
        "    else: raise SystemExit(f'{what} was read')",
        "def everything():",
        *(f"    refused({what!r}, lambda: {call})" for what, call in HOSTILE.items()),
        "    print('alive')",
        "everything()",
        "one = Thread(target=everything); one.start(); one.join()",
    ]
    done = elsewhere("\n".join(lines))
    assert (done.returncode, done.stdout.split()) == (0, ["alive", "alive"]), done.stderr[-2000:]


LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    "text",
    [
        f'<?xml version="1.0"?>{LAUGHS}]><sbml>&i;</sbml>',
        '<!DOCTYPE s SYSTEM "file:///etc/passwd"><sbml/>',
        '<?xml version="1.0"?><!DOCTYPE s [<!ENTITY e SYSTEM "file:///etc/passwd">]><sbml>&e;</sbml>',
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE s [<!ENTITY % p "x">]><sbml/>',
    ],
)
def test_no_entity_is_ever_expanded(text: str) -> None:
    with pytest.raises(ModelError, match="Remove the DOCTYPE"):
        load_model(text)


def test_a_word_in_a_note_is_no_document_type() -> None:
    """The bound is on what the XML declares, not on what is written in it; witness: the note itself."""
    model = load_model('x = 1; x notes "a <!DOCTYPE or an <!ENTITY is only a word here"')
    assert "<!ENTITY" in load_model(model.to_sbml())["x"].note


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (" + ".join(f"1e-5*x^{k}" for k in range(2, 3000)), 1),
        ("*".join(["x"] * 3000), 0),
        ("a - b - c", 2),
        ("a/b + c/d/e", 2),
        ("f(g(h(x)), y)", 3),
        ("x = 1 - y; z = 2 - y - y", 3),
    ],
)
def test_what_is_long_is_not_deep(text: str, depth: int) -> None:
    assert nesting(text) == depth


def test_a_long_sum_is_read() -> None:
    """Witness: the derivative of a geometric sum at 1, n (n + 1) / 2."""
    total = parse_formula(" + ".join(f"{k}*x^{k}" for k in range(1, 1001)))
    assert total.subs("x", 1) == 1000 * 1001 // 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: a\nid: b", "row 2: 'id' is given twice"),
        ("model_files: {m: {location: a, location: b}}", "'location' is given twice"),
        ("a: &x [1, 2]\nb: *x", "row 2: the alias"),
        ("\n".join(["a: &a [x]", *(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefg", "bcdefgh"))]), "alias"),
        ("a: " + "[" * 100_000, "deep"),
        ("a: [1, 2", "not YAML"),
        ("id: \0", "NUL"),
        ("id: [1]", "id is not one word"),
    ],
)  # fmt: skip
def test_a_problem_file_that_says_two_things_or_too_much_is_refused(text: str, said: str) -> None:
    assert any(said in str(each) for each in read_problem_file(text).problems)


def test_no_word_of_yaml_becomes_a_number_a_date_or_a_truth() -> None:
    """Witness: the text itself. YAML 1.1 makes False, 8, 90, a date, infinity and None of these."""
    words = ["no", "010", "1:30", "2024-01-05", ".inf", "null", "1_000", "2.0.0"]
    content, problems = read_yaml("".join(f"w{k}: {word}\n" for k, word in enumerate(words)), file="x.yaml")
    assert (list(content.values()), problems) == (words, [])
    assert read_problem_file("format_version: 2.0.0\nid: no").name == "no"


@pytest.mark.parametrize(
    ("text", "said"), [("[" * 100_000, "nests"), ('{"format": 1, "format": 2}', "twice")]
)
def test_a_saved_result_that_is_hostile_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text(text)
    with pytest.raises(Exception, match=said):
        read_saved(tmp_path / "fit.json")

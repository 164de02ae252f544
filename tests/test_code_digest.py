"""What reaches the network's code otherwise than by its name counts; what only makes the study does not."""

import pytest

from sweeper.code_digest import code_digest

HEAD = "import torch\nfrom torch import nn\nfrom sweeper.study import *\n"
LINEAR = "class Net(Network):\n    def build(self): return nn.Linear(1, 1)\n"
REGISTER = """
BLOCKS = {}
def register(name):
    return lambda made: BLOCKS.setdefault(name, made)
"""
FOUND = "class Net(Network):\n    def build(self): return BLOCKS['b']()\n"
BLOCK = "@register('b')\nclass B(nn.Module):\n    x = 1\n"
BASE = """
class Base(nn.Module):
    kinds = {}
    def __init_subclass__(cls): Base.kinds[cls.__name__] = cls
class B(Base):
    x = 0
class C(B):
    x = 1
"""
MODULES = LINEAR.replace("nn.Linear(1, 1)", "list(nn.Linear(1, 1).eval().modules())[0]")
CASES = {
    "a register": ({"my": HEAD + REGISTER + BLOCK + FOUND}, "x = 1", True),
    "a register of a neighbour": (
        {
            "my": f"{HEAD}import blocks\nfrom reg import BLOCKS\n{FOUND}",
            "blocks": f"from reg import register\nfrom torch import nn\n{BLOCK}",
            "reg": REGISTER,
        },
        "x = 1",
        True,
    ),
    "subclasses": ({"my": HEAD + BASE + FOUND.replace("BLOCKS", "Base.kinds")}, "x = 1", True),
    "globals": ({"my": f"{HEAD}class B(nn.Module):\n    x = 1\n{FOUND.replace('BLOCKS', 'globals()')}"}, "x = 1", True),
    "what an import does": (
        {"my": f"{HEAD}import patch\n{LINEAR}", "patch": "import torch\ntorch.set_num_threads(1)\n"},
        "(1)",
        True,
    ),
    "an append to arms": ({"my": f"{HEAD}{LINEAR}ARMS = []\nARMS.append(Arm('x1'))\nSTUDY = ARMS\n"}, "x1", False),
    "a library's decorator": (
        {"my": f"{HEAD}from functools import cache\n@cache\ndef unused(): return 41\n{LINEAR}"},
        "41",
        False,
    ),
    "methods that are called as what looks through modules": (
        {"my": f"{HEAD}def unused(): return 41\n{MODULES}"},
        "41",
        False,
    ),
}


def digest(files, network="my.Net"):
    return code_digest({f"{name}.py": source.encode() for name, source in files.items()}, "my.py", network, {})


@pytest.mark.parametrize("what", CASES)
def test_the_digest_follows_what_can_be_reached(what):
    files, text, counts = CASES[what]
    place = next(name for name in files if text in files[name] and name != "reg")
    changed = files | {place: files[place].replace(text, text.replace("1", "2"))}
    assert (digest(files) != digest(changed)) == counts


WIDE = "WIDTHS = []\nclass Net(Network):\n    def build(self): return nn.Linear(1, WIDTHS[-1])\n"
FILL = "def fill(width):\n    widths = WIDTHS\n    widths.append(width)\n"
KIND = "KINDS = {}\nclass A:\n    x = 8\nclass Net(Network):\n    def build(self): return KINDS['A']()\n"
ADD = "def add(kind): KINDS[kind.__name__] = kind\n"
PLAIN = "class A:\n    x = 0\nclass Net(Network):\n    def build(self): return A()\n"
GLOBAL = "class Net(Network):\n    def build(self): return nn.Linear(1, WIDTH)\n"
MAKERS = {
    "__init_subclass__": "class Base:\n    def __init_subclass__(cls): KINDS[cls.__name__] = cls\n",
    "a metaclass": (
        "class Meta(type):\n    def __init__(cls, name, bases, body): KINDS[name] = cls\n"
        "class Base(metaclass=Meta):\n    pass\n"
    ),
}
FILLED = {
    "a loop": WIDE + "for width in (4, 8): WIDTHS.append(width)\n",
    "a loop that registers": KIND + ADD + "for kind in (A,): add(kind)\n",
    "a loop with setdefault": KIND + "for kind in (A,): KINDS.setdefault('A', kind)\n",
    "a loop with setattr": PLAIN + "for name in ('x',): setattr(A, name, 8)\n",
    "a loop that sets attributes": PLAIN + "for kind in (A,): kind.x = 8\n",
    "a loop with setattr of a library": PLAIN + "for name in ('x',): setattr(torch, name, 8)\n",
    "a loop that sets attributes of a library": PLAIN + "for kind in (nn.Linear,): kind.x = 8\n",
    "a loop over globals": GLOBAL + "space = globals()\nfor name in ('WIDTH',): space[name] = 8\n",
    "with": WIDE + "with nullcontext(8) as width: WIDTHS.append(width)\n",
    "while": WIDE + "width = 4\nwhile width < 5:\n    width += 1\n    WIDTHS.append(8)\n",
    "if": WIDE + "if not WIDTHS:\n    width = 8\n    WIDTHS.append(width)\n",
    "try": WIDE + "try:\n    width = 8\n    WIDTHS.append(width)\nexcept ValueError:\n    pass\n",
    "match": WIDE + "match 8:\n    case width:\n        twice = 2 * width\n        WIDTHS.append(twice)\n",
    "a name for nothing": WIDE + "_ = WIDTHS.append(8)\n",
    "a name for nothing, of a library's": PLAIN + "_ = torch.manual_seed(8)\n",
    "an argument": WIDE + "_ = random.shuffle(WIDTHS, 8)\n",
    "a function": WIDE + FILL + "filled = fill(8)\n",
    "a function that registers": KIND + ADD + "kind = add(A)\n",
    "a function that sets a global": GLOBAL + "def put(x):\n    global WIDTH\n    WIDTH = x\nWIDTH = 1\n_ = put(8)\n",
    "a comprehension": WIDE + "_ = [widths.append(8) for widths in (WIDTHS,)]\n",
    "map": WIDE + "done = list(map(WIDTHS.append, (8,)))\n",
    "a walrus": WIDE + "WIDTHS.append(width := 8)\n",
    "another name": WIDE + "other = WIDTHS\nother.append(8)\n",
    "another name of another": WIDE + "pair = [WIDTHS, 1]\nother, _ = pair\nother += [8]\n",
    "another name from a function": WIDE + "def given(): return WIDTHS\nother = given()\nother.append(8)\n",
    "a method by another name": WIDE + "add = WIDTHS.append\nfor width in (4, 8): add(width)\n",
    "the body of a class": WIDE + "class Filling:\n    WIDTHS.append(8)\n",
    "an instance": KIND + "class Kind:\n    def __init__(self, x): KINDS['A'] = self\nkind = Kind(8)\n",
    **{f"{name} that registers": KIND + code + "class C(Base):\n    y = 88\n" for name, code in MAKERS.items()},
    "a register of a metaclass": (
        "class Meta(type):\n    kinds = {}\n    def __init__(cls, *_): cls.kinds[cls.__name__] = cls\n"
        "class Base(metaclass=Meta):\n    pass\nclass A(Base):\n    x = 8\n" + KIND.replace("KINDS", "Base.kinds")
    ),
    "vars": "KINDS = vars()\n" + KIND[11:],
    "locals": "KINDS = locals()\n" + KIND[11:],
    "an update by vars": "KINDS = {}\n" + KIND[11:] + "KINDS.update(vars())\n",
}


@pytest.mark.parametrize("what", FILLED)
def test_what_fills_or_changes_what_the_network_uses_counts(what):
    code = HEAD + "import random\nfrom contextlib import nullcontext\n" + FILLED[what]
    assert digest({"my": code}) != digest({"my": code.replace("8", "64")})


@pytest.mark.parametrize(
    "code",
    [
        "from net import WIDTHS\nfor width in (4, 8): WIDTHS.append(width)\n",
        "import net\nfor width in (4, 8): net.WIDTHS.append(width)\n",
        "import net\nnet.WIDTHS.append(8)\n",
        "import net\nfilled = net.fill(8)\n",
        "import net\ntorch.set_num_threads(8)\n",
        "from net import *\nfor width in (4, 8): WIDTHS.append(width)\n",
    ],
)
def test_so_does_what_a_file_does_to_its_neighbours(code):
    net = HEAD + WIDE + FILL
    before, after = ({"my": HEAD + each, "net": net} for each in (code, code.replace("8", "64")))
    assert digest(before, "net.Net") != digest(after, "net.Net")


@pytest.mark.parametrize(
    "code",
    [
        "ARMS = []\nfor w in (4, 8): ARMS.append(Arm(f'w{w}', network={'w': w}))\n",
        "ARMS = []\nfor w in WIDTHS: ARMS.append(Arm(f'w{w}', network={'w': 8}))\n",
        "def arm(w): return Arm(f'w{w}', network={'w': w})\nARMS = [arm(w) for w in (4, 8)]\nARMS.append(arm(16))\n",
        "import common\nARMS = [common.arm(w) for w in (4, 8)]\nfor w in (8, 16): ARMS.append(common.arm(w))\n",
        "SMALL = replace(Net(), width=8)\nRECIPES = (Recipe('q', sample_rate=8),)\n",
        "UNUSED = math.sqrt(8)\n",
        "try:\n    import fast\nexcept ImportError:\n    class fast(nn.Module):\n        x = 8\n",
        "class Other(nn.Module):\n    x = nn.Linear(8, 1)\n    def kept(self): return vars(self), locals(), 8\n",
    ],
)
def test_arms_recipes_and_what_is_not_used_keep_the_ids(code):
    common = "from sweeper.study import Arm\ndef arm(w): return Arm(f'w{w}', network={'w': w})\n"
    head = HEAD + "import math\nfrom dataclasses import replace\n" + WIDE
    nothing, before, after = (
        digest({"my": head + each, "common": common}) for each in ("", code, code.replace("8", "64"))
    )
    assert before == after
    if "import" not in code:
        assert before == nothing


NET = "class Net(Network):\n    def build(self): return made({})\n"
ORDER = {
    "which of two values stands last": ("W = 8\nW = 4\n", "W = 4\nW = 8\n", "W"),
    "what is appended first": ("L = []\nL.append(8)\nL.append(4)\n", "L = []\nL.append(4)\nL.append(8)\n", "L"),
    "what is appended first in a line": (
        "L = []\nL.append(8); L.append(4)\n",
        "L = []\nL.append(4); L.append(8)\n",
        "L",
    ),
    "how often it is appended": ("L = []\nL.append(8)\nL.append(8)\n", "L = []\n" + 3 * "L.append(8)\n", "L"),
    "how often it is doubled": ("W = 8\nW *= 2\n", "W = 8\nW *= 2\nW *= 2\n", "W"),
    "when it was read": ("W = 4\nV = W\nW = 8\n", "W = 4\nW = 8\nV = W\n", "V, W"),
    "which is called first": ("nn.f(1)\nnn.f(2)\n", "nn.f(2)\nnn.f(1)\n", "1"),
    "which is registered first": (
        REGISTER + "@register\nclass A: pass\n@register\nclass B: pass\n",
        REGISTER + "@register\nclass B: pass\n@register\nclass A: pass\n",
        "BLOCKS",
    ),
}


@pytest.mark.parametrize("what", ORDER)
def test_order_and_number_count_where_statements_act_on_others(what):
    one, other, used = ORDER[what]
    one, other = (digest({"my": HEAD + code + NET.format(used)}) for code in (one, other))
    assert one != other


def test_the_order_of_definitions_keeps_the_ids():
    one, other = "def f(): return 1\nRATE = 8\n", "class G:\n    x = 1\nBANDS = 4\n"
    net = NET.format("f(), G(), RATE, BANDS")
    orders = [one + other + net, other + one + net, net + one + other]
    assert len({digest({"my": HEAD + code}) for code in orders}) == 1


PAIR = ("WIDTH = 8\n", "WIDTH = 4\n")
PLACES = {
    "two files": (HEAD + "import enc, dec\n" + NET.format("enc.WIDTH, dec.WIDTH"), *PAIR),
    "two files by other names": (
        HEAD + "from enc import WIDTH as E\nfrom dec import WIDTH as D\n" + NET.format("E, D"),
        *PAIR,
    ),
}


@pytest.mark.parametrize("what", PLACES)
def test_which_file_has_which_of_two_that_share_a_name_counts(what):
    my, one, other = PLACES[what]
    assert digest({"my": my, "enc": one, "dec": other}) != digest({"my": my, "enc": other, "dec": one})


def test_which_file_a_name_is_imported_from_counts():
    my = HEAD + "from both import pair\nfrom enc import WIDTH\n" + NET.format("WIDTH, pair()")
    files = {"enc": PAIR[0], "dec": PAIR[1], "both": "import enc, dec\ndef pair(): return enc.WIDTH, dec.WIDTH\n"}
    assert digest({"my": my, **files}) != digest({"my": my.replace("from enc", "from dec"), **files})


def test_a_study_may_be_renamed_and_import_more_of_others_whatever_shares_a_name():
    my = HEAD + "from enc import WIDTH as W\nnn.f(2)\nnn.f(1)\nWIDTH = 1\n" + NET.format("W, WIDTH")
    more = my.replace("import *\n", "import *\nfrom sweeper.study import factorial\nimport json\n")
    found = [
        code_digest({f"{name}.py": code.encode(), "enc.py": b"WIDTH = 8\n"}, f"{name}.py", f"{name}.Net", {})
        for name, code in (("my", my), ("mine", my), ("my", more))
    ]
    assert len(set(found)) == 1


LAZY = "def __getattr__(name):\n    from . import sub\n    return getattr(sub, name)\n"
PACKAGES = {
    "import pkg.sub": ("import pkg.sub\n", "pkg.sub.X", ""),
    "import pkg.sub beside another": ("import pkg.sub\nimport pkg.other\n", "pkg.sub.X, pkg.other.Y", ""),
    "import pkg.sub in a function": ("def f():\n    import pkg.sub\n    return pkg.sub.X\n", "f()", ""),
    "import pkg.sub, asked of the package": ("import pkg.sub\n", "pkg.X", "from .sub import X\n"),
    "a base class": ("import pkg.sub\nclass A(pkg.sub.X): pass\n", "A()", ""),
    "another name": ("import pkg.sub\nother = pkg.sub\n", "other.X", ""),
    "import pkg.sub as other": ("import pkg.sub as other\n", "other.X", ""),
    "__getattr__": ("from pkg import X\n", "X", LAZY),
    "__dict__": ("from pkg import sub\n", "sub.__dict__['X']", ""),
}


@pytest.mark.parametrize("what", PACKAGES)
def test_a_packages_module_counts_however_it_is_imported(what):
    imports, used, init = PACKAGES[what]
    my = HEAD + imports + NET.format(used)
    before, after = (
        digest({"my": my, "pkg/__init__": init, "pkg/sub": f"X = {x}\n", "pkg/other": "Y = 1\n"}) for x in (1, 2)
    )
    assert before != after


@pytest.mark.parametrize("statement", ["torch.set_num_threads(1)", "from . import sub\nsub.X = 1"])
@pytest.mark.parametrize("imports", ["from pkg.sub import X", "import pkg.sub as sub\nX = sub.X"])
def test_so_does_what_a_package_does_when_a_module_of_it_is_imported(imports, statement):
    my = HEAD + imports + "\n" + NET.format("X")
    init = f"import torch\n{statement}\n"
    before, after = (
        digest({"my": my, "pkg/__init__": code, "pkg/sub": "X = 5\n"}) for code in (init, init.replace("1", "2"))
    )
    assert before != after

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


@pytest.mark.parametrize("what", CASES)
def test_the_digest_follows_what_can_be_reached(what):
    files, text, counts = CASES[what]
    place = next(name for name in files if text in files[name] and name != "reg")
    changed = files | {place: files[place].replace(text, text.replace("1", "2"))}
    before, after = (
        code_digest({f"{name}.py": source.encode() for name, source in each.items()}, "my.py", "my.Net", {})
        for each in (files, changed)
    )
    assert (before != after) == counts

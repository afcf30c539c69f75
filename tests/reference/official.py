"""The official models with random weights, to compare with: descript's `dac.DAC` and Hugging Face's `DacModel`.

Both come from their published packages, unchanged. descript-audiotools, which `dac` imports, asks at import time for
two things that the model never calls: `torchaudio` (effects and file reading; its wheels do not load beside every
torch) and TensorBoard's `SummaryWriter` (logging of training runs). Where they are missing, empty modules stand in
for them while `dac` is imported, and are taken away again so that no other package finds them.

This file knows nothing of streamrvq.
"""

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the models are made here; nothing is to be fetched


class MissingReferenceError(ImportError):
    """A reference package is not installed."""


def official_dac(**kwargs: Any) -> Any:
    """`dac.DAC(**kwargs)` in eval mode, with random weights; the keywords are DAC's own. Seed torch before the call."""
    with quiet():
        return _import_dac().DAC(**kwargs).eval()


def official_rvq(**kwargs: Any) -> Any:
    """`dac.nn.quantize.ResidualVectorQuantize(**kwargs)` in eval mode, with random weights."""
    with quiet():
        return _import_dac().nn.quantize.ResidualVectorQuantize(**kwargs).eval()


def save_official_dac(model: Any, path: str | os.PathLike[str]) -> None:
    """Write `model` as descript's own weights file (.pth: state dict and the constructor's keywords)."""
    with quiet():
        model.save(str(path), package=False)


def load_official_dac(path: str | os.PathLike[str]) -> Any:
    """Read a .pth with descript's own loader, in eval mode."""
    with quiet():
        return _import_dac().DAC.load(str(path)).eval()


def hf_dac(**kwargs: Any) -> Any:
    """`DacModel(DacConfig(**kwargs))` in eval mode, with random weights; the keywords are DacConfig's."""
    return hf_model("Dac", **kwargs)


def hf_model(name: str, **kwargs: Any) -> Any:
    """transformers' ``{name}Model`` of ``{name}Config(**kwargs)`` in eval mode, with random weights."""
    with quiet():
        try:
            transformers = importlib.import_module("transformers")
        except ModuleNotFoundError as error:
            raise MissingReferenceError(
                f"transformers cannot be imported ({error}): run tools/test, or pip install -e '.[reference]'"
            ) from error
        return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**kwargs)).eval()


def imported(name: str, package: str, **unneeded: ModuleType) -> Any:
    """The module ``name`` of a reference package.

    Args:
        package: as it is installed, for the error.
        unneeded: what it imports but its model never calls, by the name that must be installed: where that is missing,
            the module stands in for it, under the module's own name.

    Raises:
        MissingReferenceError: it cannot be imported.
    """
    if name in sys.modules:
        return sys.modules[name]
    with quiet(), _stand_ins(unneeded):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise MissingReferenceError(
                f"{package} cannot be imported ({error}): run tools/test, or pip install -e '.[reference]' "
                "and then pip install --no-deps -r tools/reference.txt"
            ) from error


def stand_in(name: str, **attributes: Any) -> ModuleType:
    """An empty module but for these."""
    module = ModuleType(name)
    vars(module).update(attributes)
    return module


def _import_dac() -> Any:
    return imported(
        "dac",
        "descript-audio-codec",
        torchaudio=stand_in("torchaudio", __version__="0"),
        tensorboard=stand_in("torch.utils.tensorboard", SummaryWriter=type("SummaryWriter", (), {})),
    )


@contextmanager
def _stand_ins(unneeded: Mapping[str, ModuleType]) -> Iterator[None]:
    missing = {
        module.__name__: module
        for installed, module in unneeded.items()
        if installed not in sys.modules and importlib.util.find_spec(installed) is None
    }
    sys.modules.update(missing)
    try:
        yield
    finally:
        for name in missing:
            sys.modules.pop(name, None)


@contextmanager
def quiet() -> Iterator[None]:
    """The reference packages use deprecated parts of torch; the warnings are theirs, not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

"""The contract of `vibench.methods.base.Method`, tried on a small copy of each variant and one random batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vibench.conformance.finding import BrokenContract, Finding, attempt
from vibench.conformance.subject import Subject, small_settings
from vibench.datasets.registry import dataset_names
from vibench.errors import cited, suggestion
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import get_method, method_entry
from vibench.modality import INFRARED, MODALITIES, VISIBLE
from vibench.runtime.progress import Progress, silent
from vibench.training.optimizer import build_optimizer

TOLERANCE = 1e-4
"""Largest difference, as a share of the largest value, between results that should be the same."""
ROUNDING = 1e-6
"""Difference of distances that rounding alone may cause."""


def check_contract(
    name: str, variants: Sequence[str] = (), overrides: Sequence[str] = (), progress: Progress = silent
) -> list[Finding]:
    """Try a method in the ``variants`` named, by default in all of them; one finding per check.

    ``overrides`` are ``key=value`` changes of the small recipe. A variant that fails a check is tried no further.
    Raises `UsageError` for an unknown method and for a recipe file that cannot be read.
    """
    entry = method_entry(name)
    recipe_file = entry.recipe_file
    chosen = list(dict.fromkeys(map(recipe_file.resolve_variant, variants or ("", *recipe_file.variants))))
    registered = attempt("registration", lambda: _check_registration(name), entry.folder)
    if not registered.passed:
        return [registered]
    recipes = attempt("recipe", lambda: _check_recipes(name, chosen), entry.folder)
    if not recipes.passed:
        return [registered, recipes]
    settings = [*small_settings(get_method(name).options), *overrides]
    found: dict[str, dict[str, Finding]] = {title: {} for title, _ in CHECKS}
    with progress(f"checking {name}", len(chosen)) as advance, torch.random.fork_rng(devices=[]):
        for variant in chosen:
            subject = Subject(load_recipe(name, variant, "sysu-mm01", settings))
            for title, check in CHECKS:
                finding = attempt(title, partial(check, subject), entry.folder)
                found[title][variant] = finding
                if not finding.passed:
                    break
            advance(1)
    return [registered, recipes, *(_merged(title, found[title], chosen) for title, _ in CHECKS)]


def _merged(title: str, found: Mapping[str, Finding], variants: Sequence[str]) -> Finding:
    """One finding of a check for all variants."""
    failed = {variant: finding.text for variant, finding in found.items() if not finding.passed}
    if failed:
        sentences: dict[str, list[str]] = {}
        for variant, text in failed.items():
            sentences.setdefault(text, []).append(variant)
        if len(failed) == len(variants) and len(sentences) == 1:
            return Finding(title, "failed", next(iter(sentences)))
        shown = (
            f"{text} [{', '.join(variant or 'without variant' for variant in names)}]"
            for text, names in sentences.items()
        )
        return Finding(title, "failed", " ".join(shown))
    if len(found) < len(variants):
        return Finding(title, "not reached")
    return Finding(title, "passed", found[variants[0]].text)


def _check_registration(name: str) -> str:
    cls = get_method(name)
    if not issubclass(cls, Method):
        raise BrokenContract(f"the class {cls.__qualname__} is not derived from vibench.methods.base.Method.")
    for required in ("losses", "embed", "parameter_groups"):
        if getattr(cls, required) is getattr(Method, required):
            raise BrokenContract(f"the class {cls.__qualname__} has no {required}(), which every method needs.")
    return f"class {cls.__qualname__} of {cls.__module__}"


def _check_recipes(name: str, variants: Sequence[str]) -> str:
    for variant, dataset in itertools.product(variants, dataset_names()):
        load_recipe(name, variant, dataset)
    named = ", ".join(variant or "without variant" for variant in variants)
    return f"{named}; on every data set"


def _check_network(subject: Subject) -> str:
    first, again = subject.method, subject.build(seed=0)
    for key, value in first.state_dict().items():
        other = again.state_dict().get(key)
        if other is None or not torch.equal(value, other):
            raise BrokenContract(
                f"two networks from the same seed differ in '{key}', so runs could not be repeated: draw starting "
                "weights from torch's global generator, and build the same modules every time."
            )
    if not any(parameter.requires_grad for parameter in first.parameters()):
        raise BrokenContract("the network has no trainable parameter.")
    return f"{sum(parameter.numel() for parameter in first.parameters()) / 1e6:.2f} M parameters in the small copy"


def _check_groups(subject: Subject) -> str:
    build_optimizer(subject.method)
    groups = subject.method.parameter_groups(subject.recipe)
    return f"{len(groups)} groups, rates times {', '.join(str(group.get('lr_factor', 1.0)) for group in groups)}"


def _check_losses(subject: Subject) -> str:
    losses = _losses(subject)
    _check_named(subject.method, losses)
    if tuple(_losses(subject)) != tuple(losses):
        raise BrokenContract("losses() gives other names the second time; they must be the same at every step.")
    if subject.method.needs:
        _check_unlabelled(subject, tuple(losses))
    if not subject.method.training:
        raise BrokenContract("losses() leaves the network in eval mode; it must not call eval().")
    return ", ".join(f"{name} {loss.item():.3g}" for name, loss in losses.items())


def _check_named(method: Method, losses: Any) -> None:
    if not isinstance(losses, dict) or not losses:
        raise BrokenContract(f"losses() gives {_kind(losses)}; it must give a dictionary of at least one named scalar.")
    known = tuple(method.loss_names)
    for name, loss in losses.items():
        if name not in known:
            raise BrokenContract(
                f"losses() gives '{name}'{suggestion(str(name), known)}, which loss_names does not describe; "
                f"it describes {', '.join(known)}."
            )
        if not isinstance(loss, Tensor) or loss.ndim:
            raise BrokenContract(f"the loss '{name}' is {_kind(loss)}; it must be a scalar tensor, as mean() gives.")
        if not torch.isfinite(loss):
            raise BrokenContract(f"the loss '{name}' is {loss.item()} on a batch of noise; it must be finite.")


def _check_unlabelled(subject: Subject, names: tuple[str, ...]) -> None:
    """Real labels do not cover everybody, and a batch may happen to have nobody they cover."""
    torch.manual_seed(0)
    losses = subject.method.losses(subject.unlabelled)
    needs = " and ".join(sorted(subject.method.needs))
    if tuple(losses) != names:
        raise BrokenContract(f"losses() gives other names for a batch without known {needs}; a loss of nothing is 0.")
    for name, loss in losses.items():
        if not torch.isfinite(loss):
            raise BrokenContract(
                f"the loss '{name}' is {loss.item()} on a batch without known {needs}; heed what is known, and divide "
                "by the number of known rows only if there are any."
            )


def _check_gradients(subject: Subject) -> str:
    method, weights = subject.method, subject.recipe.loss_weights
    method.zero_grad(set_to_none=True)
    losses = _losses(subject)
    total = torch.stack([weights.get(name, 1.0) * loss.float() for name, loss in losses.items()]).sum()
    if not total.requires_grad:
        raise BrokenContract("no loss depends on a trainable parameter; something detaches it, such as no_grad().")
    total.backward()
    trainable = {name: parameter for name, parameter in method.named_parameters() if parameter.requires_grad}
    missing = [name for name, parameter in trainable.items() if parameter.grad is None]
    if missing:
        raise BrokenContract(
            f"no loss reaches {cited(missing)}; use these parameters in losses(), or freeze them with "
            "requires_grad_(False)."
        )
    bad = [name for name, parameter in trainable.items() if not torch.isfinite(parameter.grad).all()]  # type: ignore[arg-type]
    if bad:
        raise BrokenContract(
            f"the gradient of {cited(bad)} is NaN or infinite; look for a square root, logarithm or division at 0."
        )
    method.zero_grad(set_to_none=True)
    return f"they reach all {len(trainable)} trainable tensors"


def _check_last_epoch(subject: Subject) -> str:
    """Losses may come in late, as those of a second stage do."""
    method, last = subject.build(seed=0).train(), subject.recipe.schedule.epochs - 1
    torch.manual_seed(0)
    means = {name: loss.item() for name, loss in method.losses(subject.batch).items()}
    if last > 0:
        method.end_of_epoch(last - 1, means)
    losses = method.losses(subject.batch)
    _check_named(method, losses)
    late = [name for name in losses if name not in means]
    return f"epoch {last}: " + (f"{cited(late)} came in" if late else "the same losses")


def _check_embedding(subject: Subject) -> str:
    widths = {}
    for modality in MODALITIES:
        images = subject.images(modality)
        with torch.no_grad():
            features = subject.method.eval().embed(images, modality)
        if not isinstance(features, dict) or not isinstance(features.get("embedding"), Tensor):
            raise BrokenContract("embed() must give a dictionary with a tensor under the key 'embedding'.")
        for key, values in features.items():
            if not isinstance(values, Tensor) or values.ndim == 0 or len(values) != len(images):
                raise BrokenContract(
                    f"embed() gives {_kind(values)} under '{key}' for {len(images)} images; it must be a tensor with "
                    "one row per image."
                )
        embedding = features["embedding"]
        if embedding.ndim != 2 or not embedding.is_floating_point():
            raise BrokenContract(f"'embedding' is {_kind(embedding)}; it must be a floating-point tensor (B, D).")
        if not torch.isfinite(embedding).all():
            raise BrokenContract(f"'embedding' of {modality} images is NaN or infinite.")
        if _same(embedding, embedding[:1].expand_as(embedding), 1e-7):
            raise BrokenContract(f"'embedding' is the same for all {modality} images, whatever they show.")
        widths[modality] = embedding.shape[1]
    if len(set(widths.values())) > 1:
        raise BrokenContract(f"the modalities' embeddings differ in width ({widths}) and cannot be compared.")
    return f"{widths[VISIBLE]} numbers per image"


def _check_eval_mode(subject: Subject) -> str:
    method = subject.method.eval()
    stuck = [name or "the method itself" for name, module in method.named_modules() if module.training]
    if stuck:
        raise BrokenContract(
            f"eval() leaves {cited(stuck)} in training mode; a method that overrides train() must heed its argument."
        )
    before = {name: value.clone() for name, value in method.state_dict().items()}
    for modality in MODALITIES:
        images = subject.images(modality)
        first, again = subject.embedding(images, modality), subject.embedding(images, modality)
        if not torch.equal(first, again):
            raise BrokenContract(
                f"embed() gives another result when it is called again with the same {modality} images; in eval mode "
                "nothing may be drawn at random (dropout needs training=self.training)."
            )
        alone = torch.cat([subject.embedding(image[None], modality) for image in images[:2]])
        if not _same(alone, first[:2], TOLERANCE):
            raise BrokenContract(
                f"embed() of a {modality} image depends on the other images of its batch; no statistics of the batch "
                "may enter in eval mode."
            )
        if method.training:
            raise BrokenContract("embed() leaves the network in training mode; it must not call train().")
    changed = [name for name, value in method.state_dict().items() if not torch.equal(value, before[name])]
    if changed:
        raise BrokenContract(f"embed() changes {cited(changed)}; embedding images must not change the network.")
    if not method.train().training:
        raise BrokenContract("train() leaves the network in eval mode.")
    return "same result twice, and for each image alone"


def _check_state(subject: Subject) -> str:
    method, copy = subject.method, subject.build(seed=1)
    copy.load_state_dict(method.state_dict())
    for modality in MODALITIES:
        images = subject.images(modality)
        if not _same(subject.embedding(images, modality, copy), subject.embedding(images, modality), 1e-6):
            raise BrokenContract(
                f"a copy that has loaded the state dict embeds {modality} images differently; keep all that embed() "
                "needs in parameters and buffers."
            )
    return "a copy that loads the state dict embeds alike"


def _check_training_only(subject: Subject) -> str:
    copy = subject.build(seed=0)
    copy.load_state_dict(subject.method.state_dict())
    prefixes = copy.training_only()
    dropped = [parameter for name, parameter in copy.named_parameters() if name.startswith(prefixes)]
    for parameter in dropped:
        torch.nn.init.constant_(parameter, float("nan"))
    for modality in MODALITIES:
        if not torch.isfinite(subject.embedding(subject.images(modality), modality, copy)).all():
            raise BrokenContract(
                f"embed() uses parameters that training_only() says testing does not need ({', '.join(prefixes)})."
            )
    return f"testing does without {sum(parameter.numel() for parameter in dropped)} parameters"


def _check_distances(subject: Subject) -> str:
    method = subject.method.eval()
    query = subject.embedding(subject.images(INFRARED), INFRARED)
    gallery = subject.embedding(subject.images(VISIBLE), VISIBLE)[1:]
    with torch.no_grad():
        single, among_all = (method.distances(query, gallery, mode) for mode in ("single", "all"))
        for distances in (single, among_all):
            if distances.shape != (len(query), len(gallery)) or not torch.isfinite(distances).all():
                raise BrokenContract(
                    f"distances() gives {_kind(distances)}; it must give a finite tensor (queries, gallery)."
                )
        if not _same_distances(method.distances(query[:1], gallery, "single"), single[:1]):
            raise BrokenContract("distances() in query mode 'single' depends on the other queries.")
        if method.test_time_information == "none":
            pair = method.distances(query[:1], gallery[:1], "all")
            if not _same_distances(pair, among_all[:1, :1]):
                raise BrokenContract(
                    "distances() of one pair depends on other images; say so in recipe.toml, [method] "
                    'test_time_information = "gallery" or "gallery+queries".'
                )
    return f"test-time information: {method.test_time_information}"


CHECKS: tuple[tuple[str, Callable[[Subject], str]], ...] = (
    ("network", _check_network),
    ("parameter groups", _check_groups),
    ("losses", _check_losses),
    ("gradients", _check_gradients),
    ("last epoch", _check_last_epoch),
    ("embedding", _check_embedding),
    ("eval mode", _check_eval_mode),
    ("state dict", _check_state),
    ("training only", _check_training_only),
    ("distances", _check_distances),
)
"""Title and check, in the order in which they are made."""


def _losses(subject: Subject) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return subject.method.train().losses(subject.batch)


def _same(one: Tensor, other: Tensor, tolerance: float) -> bool:
    return bool((one - other).abs().max() <= tolerance * other.abs().max())


def _same_distances(one: Tensor, other: Tensor) -> bool:
    """As `_same`; one minus a cosine near 1 has lost all but its leading digits to rounding."""
    return _same(one, other, TOLERANCE) or bool((one - other).abs().max() <= ROUNDING)


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"

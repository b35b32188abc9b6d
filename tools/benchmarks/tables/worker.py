# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Train and evaluate one run, in whichever process."""

import math
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import torch
from mmengine.evaluator import DumpResults, Evaluator
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, find_latest_checkpoint
from mmpretrain.registry import METRICS

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models.constant_features import check_constant, weights_digest

from .runs import Run

__all__ = ['Evaluate', 'Report', 'evaluate_decodings', 'perform']

#: Called with the number of steps done and their total.
Report = Callable[[int, int], None]
#: ``evaluate(run, model, done)``: a dict with ``digest`` for each evaluation that is not done yet.
Evaluate = Callable[[Run, torch.nn.Module, list[str]], dict[str, Any]]
#: In a checkpoint: digests of the parts that it leaves out.
FROZEN = 'frozen'


def perform(
    run: Run, about: dict[str, Any], report: Report, evaluate: Evaluate | None = None
) -> dict[str, Any]:
    """Do what of a run is not done yet.

    What is evaluated are the weights of the checkpoint, behind the training as well as later: with
    the host's ``EMAHook`` they are the averaged ones, and those of the model are not.

    Everything that is printed goes to ``output.txt`` in the run's folder.

    Args:
        run: The run.
        about: Written into the record of whatever is made now: date, versions, and so on.
        report: Told of the progress.
        evaluate: Evaluates a trained model; None for :func:`evaluate_decodings`.

    Returns:
        The record: ``training``, with its time and what ``about`` holds, ``evaluations``, what
        ``evaluate`` gave, and ``evaluation``, the time of the last ones. Where it fails there is
        ``error`` instead, one line.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with (
        (run.folder / 'output.txt').open('a', encoding='utf-8') as output,
        redirect_stdout(output),
        redirect_stderr(output),
    ):
        try:
            return _perform(run, about, report, evaluate or evaluate_decodings)
        except Exception as error:  # noqa: BLE001 - whatever fails, the other runs go on
            traceback.print_exc()
            return {'error': f'{_one_line(error)} (more in {output.name})'}


def _perform(run: Run, about: dict[str, Any], report: Report, evaluate: Evaluate) -> dict[str, Any]:
    record = run.read_record()
    done = run.finished(record)
    if len(done) == len(run.digests):
        return record
    cfg = run.cfg
    # Loggers and message hubs are kept by name for as long as the process lives.
    cfg.experiment_name = f'{run.row}_{run.seed}_{time.time_ns()}'
    runner = Runner.from_cfg(cfg)
    runner.register_hook(TrainedPartsHook(report))
    if (record.get('training') or {}).get('digest') == run.digest:
        runner.model.init_weights()  # of what the checkpoint leaves out
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                hook.before_run(runner)  # it can't see a checkpoint loaded before
    else:
        clock = _Clock()
        runner.train()
        training = dict(digest=run.digest, lr_factor=run.factor, **clock.read(), **about)
        record = dict(training=training, evaluations={})
        run.write_record(record)
    _check_frozen(runner, run, runner.load_checkpoint(find_latest_checkpoint(run.folder)))
    clock = _Clock()
    init_default_scope(run.cfg.get('default_scope', 'mmpretrain'))
    record['evaluations'].update(evaluate(run, runner.model, done))
    record['evaluation'] = clock.read()
    run.write_record(record)
    return record


def _check_frozen(runner: Runner, run: Run, checkpoint: dict[str, Any]) -> None:
    for name, trained_with in checkpoint[FROZEN].items():
        if weights_digest(getattr(runner.model, name)) != trained_with:
            raise UsageError(
                f'{run.folder} was trained with other weights of the {name} than the config gives '
                'today: remove that folder'
            )


@torch.no_grad()
def evaluate_decodings(run: Run, model: torch.nn.Module, done: list[str]) -> dict[str, Any]:
    """Predict in each way, with the features of an image computed once, and measure."""
    wanted = [one for one in run.decodings if one.name not in done]
    (loader,) = run.loaders.values()
    loader = Runner.build_dataloader(loader, seed=run.seed)
    evaluators = []
    for one in wanted:
        metrics = [METRICS.build(dict(metric)) for metric in one.metrics]
        if run.dump:
            metrics.append(DumpResults(str(run.dump_path(one.name))))
        evaluators.append(Evaluator(metrics))
        evaluators[-1].dataset_meta = loader.dataset.metainfo
    model.eval()
    for batch in loader:
        data = model.data_preprocessor(batch, training=False)
        feats = model.extract_feat(data['inputs'])
        for one, evaluator in zip(wanted, evaluators, strict=True):
            samples = [sample.new() for sample in data['data_samples']]
            limits = {} if one.constraints is None else dict(constraints=one.constraints)
            evaluator.process(model.head.predict(feats, samples, **limits))
    size, found = len(loader.dataset), {}
    for one, evaluator in zip(wanted, evaluators, strict=True):
        metrics = {name: _finite(value) for name, value in evaluator.evaluate(size).items()}
        found[one.name] = dict(digest=run.digests[one.name], metrics=metrics)
    return found


def _one_line(error: Exception) -> str:
    said = str(error).strip().splitlines() or ['no message']
    if isinstance(error, UsageError):  # from a data-loading worker, behind that one's traceback
        return said[-1]
    return f'{type(error).__name__}: {said[0].strip()}'


def _finite(value: Any) -> Any:
    """None for NaN, which JSON does not have: the precision of a class without positives."""
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


class _Clock:
    """Seconds since it was made, on the wall and of this process."""

    def __init__(self) -> None:
        self._begin = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        wall, cpu = self._begin
        return dict(seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)


class TrainedPartsHook(Hook):
    """Report the progress, and keep what no training changes out of the checkpoint."""

    priority = 'VERY_LOW'

    def __init__(self, report: Report) -> None:
        self.report = report

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Count a step."""
        self.report(runner.iter + 1, runner.max_iters)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Leave out backbone and neck where they are frozen as a whole.

        And what only a resumed training needs: the weights that are not averaged.
        """
        checkpoint.pop('ema_state_dict', None)
        left_out = checkpoint.setdefault(FROZEN, {})
        for name in ('backbone', 'neck'):
            training = runner.model.training
            try:
                check_constant(name, getattr(runner.model, name, None))
            except UsageError:
                continue
            finally:
                runner.model.train(training)
            weights = checkpoint['state_dict']
            for key in [key for key in weights if key.startswith(f'{name}.')]:
                del weights[key]
            left_out[name] = weights_digest(getattr(runner.model, name, None))

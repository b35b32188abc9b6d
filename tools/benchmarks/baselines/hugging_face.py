# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The same weights decoded by ``generate`` of transformers.

The decoder becomes a causal language model over labels: START is the prompt, END the end of
sequence, and the recurrent state travels as the generation cache, reordered by beam. A logits
processor forbids labels that a path holds; ``generate`` adds its values after the log-softmax, so
a path's score stays the log-probability of equation (6).

``length_penalty=0`` and ``early_stopping='never'`` are what its source calls canonical beam search.
What still differs from the paper's rules, and can change the path found:

- An image is finished when no live beam beats the worst of B candidates; it waits until it has B.
- END makes a candidate only if it is among the B best expansions of all beams of the image; here
  it need only be among the B best of its own path. With few beams it can miss a better path.
- With one beam it decodes greedily by a code path of its own; the result is the same.

Axis letters: N images, M = N * B hypotheses, T tokens so far, V = C + 1 (labels and END),
D embedding size.
"""

from functools import lru_cache

import torch
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.generation import LogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import CausalLMOutputWithPast

from cnnrnn_mm.models.decoders import LabelDecoder

from .scoring import State, score_unnormalised

__all__ = ['LabelPathModel', 'hugging_face_search']


class LabelPathConfig(PretrainedConfig):
    """What ``generate`` asks of a config."""

    model_type = 'cnnrnn_label_path'


class LabelPathModel(PreTrainedModel, GenerationMixin):
    """A label decoder as a causal language model; the modules are shared, not copied."""

    config_class = LabelPathConfig
    main_input_name = 'input_ids'

    def __init__(self, decoder: LabelDecoder) -> None:
        vocabulary = decoder.vocabulary
        super().__init__(LabelPathConfig(vocab_size=vocabulary.num_outputs))
        self.decoder = decoder
        self.generation_config = GenerationConfig(
            bos_token_id=vocabulary.start,
            eos_token_id=vocabulary.end,
            pad_token_id=0,  # behind END, where nothing is read; any valid input would do
            max_length=vocabulary.num_classes + 2,
        )
        self.eval()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        """The cache is a recurrent state, which :meth:`forward` makes."""
        return False

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, image: Tensor, past_key_values: State | None = None, **kwargs
    ) -> dict:
        """The last token alone is read."""
        return dict(input_ids=input_ids[:, -1], image=image, past_key_values=past_key_values)

    def forward(
        self,
        input_ids: Tensor,
        image: Tensor,
        past_key_values: State | None = None,
        return_dict: bool = True,
    ) -> CausalLMOutputWithPast:
        """Scores (M, 1, V) of what follows tokens (M,), for projected images (M, D)."""
        if past_key_values is None:
            past_key_values = self.decoder.recurrent.initial_state(image)
        scores, state = score_unnormalised(self.decoder, input_ids, image, past_key_values)
        return CausalLMOutputWithPast(logits=scores.unsqueeze(1), past_key_values=state)

    @staticmethod
    def _reorder_cache(past_key_values: State, beam_idx: Tensor) -> State:
        """The state of each beam's parent."""
        return tuple(part.index_select(0, beam_idx) for part in past_key_values)


class NoLabelTwice(LogitsProcessor):
    """Forbid the tokens that a sequence holds after START."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Change scores (M, V), given tokens (M, T)."""
        return scores.scatter(1, input_ids[:, 1:], float('-inf'))


@lru_cache(maxsize=1)
def _wrap(decoder: LabelDecoder) -> LabelPathModel:
    return LabelPathModel(decoder)


@torch.no_grad()
def hugging_face_search(
    decoder: LabelDecoder, image: Tensor, beam_size: int
) -> tuple[list[list[int]], Tensor]:
    """The best path of each image that ``generate(num_beams=beam_size)`` finds. See the package."""
    model = _wrap(decoder)
    vocabulary = decoder.vocabulary
    start = image.new_full((len(image), 1), vocabulary.start, dtype=torch.long)
    options = (
        dict(output_logits=True)
        if beam_size == 1
        else dict(length_penalty=0.0, early_stopping='never', output_scores=True)
    )
    output = model.generate(
        start,
        image=image,
        num_beams=beam_size,
        do_sample=False,
        logits_processor=LogitsProcessorList([NoLabelTwice()]),
        return_dict_in_generate=True,
        **options,
    )
    tokens = output.sequences[:, 1:]  # (N, T)
    lengths = (tokens == vocabulary.end).int().argmax(-1)
    paths = [path[:length] for path, length in zip(tokens.tolist(), lengths.tolist(), strict=True)]
    if beam_size > 1:
        return paths, output.sequences_scores
    log_probs = torch.stack(output.logits, 1).log_softmax(-1)  # (N, T, V)
    steps = log_probs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    within = torch.arange(tokens.shape[1], device=tokens.device) <= lengths.unsqueeze(-1)
    return paths, steps.where(within, 0).sum(-1)

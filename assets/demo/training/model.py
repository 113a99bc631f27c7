"""The demo model: its sizes, tokenizer and processor, and a training forward that is faster on a CPU than the library's.

The parameters are those of `Gemma3nForConditionalGeneration`; only the language model's forward is computed here, with the
same arithmetic (`python model.py` compares the two), so that the result loads in the library and in Sotto unchanged.
"""

import json
import math
import os
import random

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
import torch.nn.functional as F
from timm.layers import RmsNorm2d, RmsNormAct2d
from timm.models._efficientnet_builder import decode_arch_def
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (Gemma3nAudioFeatureExtractor, Gemma3nConfig, Gemma3nForConditionalGeneration, Gemma3nProcessor,
                          PreTrainedTokenizerFast)
from transformers.models.gemma3n import modeling_gemma3n
from transformers.models.siglip.image_processing_siglip import SiglipImageProcessor

import pictures
import world

# ---- sizes ----------------------------------------------------------------------------
TEXT_IDS, VISION_IDS, AUDIO_IDS = 2048, 16, 16
VOCABULARY = TEXT_IDS + VISION_IDS + AUDIO_IDS
START_IMAGE, START_AUDIO = TEXT_IDS - 2, TEXT_IDS - 1
END_IMAGE, IMAGE_TOKEN = TEXT_IDS, TEXT_IDS + 1
END_AUDIO, AUDIO_TOKEN, AUDIO_PAD = TEXT_IDS + VISION_IDS, TEXT_IDS + VISION_IDS + 1, VOCABULARY - 1
END_OF_TURN, STOPS = 6, (1, 6)
LAYERS, WIDTH, PLE, HEADS, KV_HEADS, HEAD, FFN = 10, 128, 32, 4, 2, 32, 512
OWN_KV = 5  # layers 5..9 reuse the keys and values of layers 3 (sliding) and 4 (full)
SPARSITY = [0.95] * 3 + [0.0] * 7
SPARSE_CUTOFF = 1.6448536269514722  # the normal quantile of 0.95
KINDS = ["full_attention" if i % 5 == 4 else "sliding_attention" for i in range(LAYERS)]
WINDOW = 256
ROPE_BASE = {"sliding_attention": 1e4, "full_attention": 1e6}
AUDIO_TOKENS, IMAGE_GRID, IMAGE_PIXELS = 188, 4, 128
IMAGE_TOKENS = IMAGE_GRID**2
EAR_WIDTH, EAR_LAYERS = 128, 4
EYE_BLOCKS = [
    ["er_r1_k3_s2_e3_c16", "er_r1_k3_s1_e2_c16"],
    ["uir_r1_a3_k5_s2_e4_c32", "uir_r1_a5_k0_s1_e3_c32"],
    ["uir_r1_a5_k5_s2_e4_c64", "uir_r1_a5_k0_s1_e3_c64", "mqa_r1_k3_h4_v2_s1_d16_c64", "uir_r1_a0_k0_s1_e2_c64"],
    ["uir_r1_a5_k5_s2_e4_c96", "mqa_r1_k3_h4_s1_d16_c96", "uir_r1_a0_k0_s1_e2_c96"],
]

WHOLE = (list(range(LAYERS)), [FFN] * LAYERS)
# The shipped submodels: which layers are kept and how wide each feed-forward is.
SUBMODELS = {
    "small": ([0, 1, 2, 3, 4, 8, 9], [FFN // 2] * LAYERS),
    "medium": (list(range(LAYERS)), [FFN * 3 // 4] * LAYERS),
}


def random_submodel(rng):
    """Most steps train the whole model, the others the smallest or anything between."""
    u = rng.random()
    if u < 0.6:
        return WHOLE
    if u < 0.75:
        return SUBMODELS["small"]
    kept = WHOLE[0] if rng.random() < 0.6 else SUBMODELS["small"][0]
    return kept, [rng.choice((FFN // 2, FFN * 3 // 4, FFN)) for _ in range(LAYERS)]


def matformer():
    """The submodels as Sotto and the library's slicing recipe name them."""
    return {name: {"layers_skipped": [i for i in range(LAYERS) if i not in kept], "ffn_hidden_dims": [ffn[i] for i in kept]}
            for name, (kept, ffn) in SUBMODELS.items()}


def config():
    """config.json of the checkpoint."""
    text = {
        "model_type": "gemma3n_text", "vocab_size": VOCABULARY, "vocab_size_per_layer_input": TEXT_IDS, "hidden_size": WIDTH,
        "hidden_size_per_layer_input": PLE, "num_hidden_layers": LAYERS, "intermediate_size": [FFN] * LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD, "num_kv_shared_layers": LAYERS - OWN_KV,
        "sliding_window": WINDOW, "max_position_embeddings": 4096, "rope_theta": ROPE_BASE["full_attention"],
        "rope_local_base_freq": ROPE_BASE["sliding_attention"], "rope_scaling": None, "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh", "final_logit_softcapping": 30.0, "altup_num_inputs": 4, "altup_active_idx": 0,
        "altup_coef_clip": 120.0, "altup_correct_scale": True, "laurel_rank": 16, "activation_sparsity_pattern": SPARSITY,
        "attention_bias": False, "attention_dropout": 0.0, "initializer_range": 0.02, "pad_token_id": 0, "eos_token_id": 1,
        "bos_token_id": 2, "tie_word_embeddings": True, "use_cache": True, "layer_types": KINDS,
    }
    audio = {
        "model_type": "gemma3n_audio", "vocab_size": AUDIO_IDS, "vocab_offset": TEXT_IDS + VISION_IDS, "input_feat_size": 128,
        "hidden_size": EAR_WIDTH, "rms_norm_eps": 1e-6, "gradient_clipping": 1e10, "conf_attention_chunk_size": 12,
        "conf_attention_context_left": 13, "conf_attention_context_right": 0, "conf_attention_logit_cap": 50.0,
        "conf_num_attention_heads": 4, "conf_num_hidden_layers": EAR_LAYERS, "conf_conv_kernel_size": 5,
        "conf_reduction_factor": 4, "conf_residual_weight": 0.5, "sscp_conv_channel_size": [16, 16],
        "sscp_conv_group_norm_eps": 1e-3, "sscp_conv_kernel_size": [[3, 3], [3, 3]], "sscp_conv_stride_size": [[2, 2], [2, 2]],
    }
    vision = {
        "model_type": "gemma3n_vision", "architecture": "mobilenetv5_300m_enc", "do_pooling": False, "hidden_size": 2048,
        "vocab_size": VISION_IDS, "vocab_offset": TEXT_IDS, "rms_norm_eps": 1e-6, "initializer_range": 0.02, "num_classes": 2,
        "label_names": ["LABEL_0", "LABEL_1"],
        "model_args": {"block_args": decode_arch_def(EYE_BLOCKS), "stem_size": 16, "fix_stem": True,
                       "msfa_output_resolution": IMAGE_GRID},
    }
    return {
        "architectures": ["Gemma3nForConditionalGeneration"], "model_type": "gemma3n", "text_config": text, "vision_config": vision,
        "audio_config": audio, "audio_soft_tokens_per_image": AUDIO_TOKENS, "vision_soft_tokens_per_image": IMAGE_TOKENS,
        "boi_token_id": START_IMAGE, "eoi_token_id": END_IMAGE, "image_token_id": IMAGE_TOKEN, "boa_token_id": START_AUDIO,
        "eoa_token_id": END_AUDIO, "audio_token_id": AUDIO_TOKEN, "eos_token_id": list(STOPS), "initializer_range": 0.02,
        "tie_word_embeddings": True,
    }


# ---- tokenizer and processor ----------------------------------------------------------
BASE = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "\n\n\n"]
MEDIA = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>",
         "boa_token": "<start_of_audio>", "eoa_token": "<end_of_audio>", "audio_token": "<audio_soft_token>"}
CHAT_TEMPLATE = """{{ bos_token }}
{%- set ns = namespace(lead='', turns=messages) -%}
{%- if messages[0].role == 'system' -%}
    {%- set c = messages[0].content -%}
    {%- set ns.lead = (c if c is string else c[0].text) + '\n\n' -%}
    {%- set ns.turns = messages[1:] -%}
{%- endif -%}
{%- for m in ns.turns -%}
    {{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}
    {%- if loop.first -%}{{ ns.lead }}{%- endif -%}
    {%- if m.content is string -%}{{ m.content | trim }}
    {%- else -%}
        {%- for part in m.content -%}
            {%- if part.type == 'image' -%}{{ '<image_soft_token>' }}
            {%- elif part.type == 'audio' -%}{{ '<audio_soft_token>' }}
            {%- else -%}{{ part.text | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"""


def _corpus():
    """Every kind of text that the model reads or writes, for the merges of the tokenizer."""
    rng = random.Random(5)
    for _ in range(30000):
        yield from world.sentence(rng, False).texts
    for _ in range(4000):
        yield from world.talk(rng)
        yield from world.note(rng, False)[0]
        yield world.transcribe_prompt(rng)
        yield world.transcribe_and_translate_prompt(rng, rng.choice(world.PROMPTS["languages"]))
        yield world.translation(rng, False)[0].prompt
        yield world.translation_to_english(rng, False).prompt
        yield from pictures.text_only(rng)
        yield from ("user", "model")


def train_tokenizer(path):
    """Byte-pair merges that never cross a word, byte fallback for the rest of Unicode; writes tokenizer.json."""
    splits = ["\n", "▁", ",", ".", "?", ":", "!"]
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", "▁")
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True)] +
        [pre_tokenizers.Split(s, {"\n": "removed", "▁": "merged_with_next"}.get(s, "isolated")) for s in splits])
    alphabet = [chr(c) for c in range(0x21, 0x7F)] + list("▁ÄÖÜäöüßÀÁÉÈÊÍÓÚàáâéèêëíîïóôúùûçñ¿¡œ")
    learned = TEXT_IDS - 2 - len(BASE) - 256
    learner.train_from_iterator(_corpus(), trainers.BpeTrainer(vocab_size=learned, special_tokens=[], initial_alphabet=alphabet,
                                                               show_progress=False))
    model = json.loads(learner.to_str())["model"]
    ids = {}
    for token in BASE + [f"<0x{b:02X}>" for b in range(256)] + sorted(model["vocab"], key=model["vocab"].get):
        ids.setdefault(token, len(ids))
    while len(ids) < TEXT_IDS - 2:
        ids[f"<unused{len(ids)}>"] = len(ids)
    ids[MEDIA["boi_token"]], ids[MEDIA["boa_token"]] = START_IMAGE, START_AUDIO
    named = {END_IMAGE: MEDIA["eoi_token"], IMAGE_TOKEN: MEDIA["image_token"], END_AUDIO: MEDIA["eoa_token"],
             AUDIO_TOKEN: MEDIA["audio_token"]}
    for i in range(TEXT_IDS, VOCABULARY):
        ids[named.get(i, f"<mm_unused{i}>")] = i
    if len(ids) != VOCABULARY:
        raise ValueError(f"the tokenizer has {len(ids)} ids, expected {VOCABULARY}")
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in BASE[:7] + list(MEDIA.values())])
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in BASE[7:]])
    tokenizer.save(str(path))


def processor(tokenizer_json):
    """The library's processor with our sizes."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(tokenizer_json)), bos_token="<bos>", eos_token="<eos>", pad_token="<pad>",
        unk_token="<unk>", mask_token="<mask>", extra_special_tokens=MEDIA, padding_side="left",
        model_input_names=["input_ids", "attention_mask"], clean_up_tokenization_spaces=False)
    image = SiglipImageProcessor(size={"height": IMAGE_PIXELS, "width": IMAGE_PIXELS}, resample=2, do_resize=True, do_rescale=True,
                                 rescale_factor=1 / 255, do_normalize=False, image_mean=[0.5] * 3, image_std=[0.5] * 3,
                                 do_convert_rgb=True, image_seq_length=IMAGE_TOKENS)
    return Gemma3nProcessor(feature_extractor=Gemma3nAudioFeatureExtractor(), image_processor=image, tokenizer=tokenizer,
                            chat_template=CHAT_TEMPLATE, audio_seq_length=AUDIO_TOKENS, image_seq_length=IMAGE_TOKENS)


# ---- parameters -----------------------------------------------------------------------
def _spread_and_mean(name, shape):
    """How a new parameter is drawn: standard deviation and mean."""
    if name.endswith(("q_norm.weight", "k_norm.weight")):
        return 0.0, HEAD**-0.25  # attention has no scale of its own
    if name.endswith(("post_attention_layernorm.weight", "post_feedforward_layernorm.weight", "post_laurel_norm.weight")):
        return 0.0, 0.5
    if name.endswith("post_per_layer_input_norm.weight"):
        return 0.0, 0.3
    if name.endswith("correct_output_scale"):
        return 0.0, 1.0  # the library's 0 makes the gradient of the norm after it nearly singular
    if name.endswith(("norm.weight", ".bn.weight", ".bn1.weight", ".bn2.weight")) or "layernorm.weight" in name or "layer_norm.weight" in name:
        return 0.0, 1.0
    if name.endswith("layer_scale.gamma"):
        return 0.0, 0.5
    if name.endswith(("per_dim_scale", ".bias", "correction_coefs.weight")):
        return 0.0, 0.0
    if name.endswith("prediction_coefs.weight"):
        return 0.05, 0.0
    if name.endswith("modality_router.weight"):
        return 2.0, 0.0
    if name.endswith("embed_tokens.weight"):
        return WIDTH**-0.5, 0.0
    if name.endswith("embed_tokens_per_layer.weight"):
        return 0.5 * PLE**-0.5, 0.0
    if name.endswith(".embedding.weight"):
        return 1.0, 0.0
    return 1.0 / math.sqrt(int(np.prod(shape[1:])) if len(shape) > 1 else shape[0]), 0.0


def library_model():
    """The library's class with the demo model's sizes; its weights mean nothing yet."""
    settings = Gemma3nConfig.from_dict(json.loads(json.dumps(config())))
    return Gemma3nForConditionalGeneration._from_config(settings, attn_implementation="eager").float()


@torch.no_grad()
def new_model(seed):
    """A model to start training from."""
    made = library_model()
    noise = torch.Generator().manual_seed(seed)
    for name, weight in made.named_parameters():
        if name != "lm_head.weight":
            spread, mean = _spread_and_mean(name, weight.shape)
            weight.copy_(torch.randn(weight.shape, generator=noise) * spread + mean)
    made.model.language_model.embed_tokens_per_layer.weight[0] = 0  # the row that soft tokens read
    made.tie_weights()
    return made


# ---- training forward -----------------------------------------------------------------
class _Rms(torch.autograd.Function):
    """RMS norm over the last axis with its gradient written out: half the time of the composed one on a CPU."""

    @staticmethod
    def forward(ctx, x, weight):
        scale = torch.rsqrt(torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(1e-6))
        normed = x * scale
        ctx.save_for_backward(normed, scale, weight)
        return normed if weight is None else normed * weight

    @staticmethod
    def backward(ctx, grad):
        normed, scale, weight = ctx.saved_tensors
        grad_weight = None
        if weight is not None:
            grad_weight = (grad * normed).flatten(0, -2).sum(0)
            grad = grad * weight
        return torch.addcmul(grad, normed, (grad * normed).mean(-1, keepdim=True), value=-1).mul_(scale), grad_weight


def rms(x, weight=None):
    return _Rms.apply(x, weight)


def use_fast_norm():
    """The towers use the faster norm while training (same arithmetic)."""
    modeling_gemma3n.Gemma3nRMSNorm.forward = lambda self, x: rms(x, self.weight if self.with_scale else None)
    RmsNorm2d.forward = lambda self, x: _rms_of_channels(x, self.weight)
    RmsNormAct2d.forward = lambda self, x: self.act(_rms_of_channels(x, self.weight))


def _rms_of_channels(x, weight):
    """`x` [batch, channels, height, width] lies in memory with the channels last, so that this copies nothing."""
    return rms(x.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)


def _rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def _as_loud_as(x, magnitude):
    return x * magnitude / x.square().mean(-1, keepdim=True).clamp(min=1e-5).sqrt()


def _layer(layer, streams, ple, rotation, bias, keys_values, width, sparse):
    """One decoder layer on `streams` [batch, rows, 4, width]; `keys_values` are another layer's, or None to make its own."""
    batch, rows = streams.shape[:2]
    attention, altup = layer.self_attn, layer.altup
    mixing = torch.tanh(F.linear(rms(streams[:, :, 0], altup.router_norm.weight) * (1.0 / WIDTH), altup.modality_router.weight))
    flat = streams.reshape(batch * rows, 4, WIDTH)
    predicted = torch.baddbmm(flat, F.linear(mixing, altup.prediction_coefs.weight).view(-1, 4, 4), flat).view(batch, rows, 4, WIDTH)
    active = predicted[:, :, 0]
    x = rms(active, layer.input_layernorm.weight)
    laurel = x + rms(F.linear(F.linear(x, layer.laurel.linear_left.weight), layer.laurel.linear_right.weight), layer.laurel.post_laurel_norm.weight)

    group = HEADS // KV_HEADS
    q = _rotate(rms(F.linear(x, attention.q_proj.weight).view(batch, rows, HEADS, HEAD), attention.q_norm.weight), *rotation)
    q = q.view(batch, rows, KV_HEADS, group, HEAD).permute(0, 2, 3, 1, 4).reshape(batch, KV_HEADS, group * rows, HEAD)
    if keys_values is None:
        k = _rotate(rms(F.linear(x, attention.k_proj.weight).view(batch, rows, KV_HEADS, HEAD), attention.k_norm.weight), *rotation)
        v = rms(F.linear(x, attention.v_proj.weight).view(batch, rows, KV_HEADS, HEAD))
        keys_values = k.permute(0, 2, 3, 1), v.permute(0, 2, 1, 3)
    k, v = keys_values
    seen = k.shape[-1]
    scores = torch.softmax(torch.matmul(q, k).view(batch, KV_HEADS, group, rows, seen) + bias, -1)
    mixed = torch.matmul(scores.view(batch, KV_HEADS, group * rows, seen), v)
    mixed = mixed.view(batch, KV_HEADS, group, rows, HEAD).permute(0, 3, 1, 2, 4).reshape(batch, rows, HEADS * HEAD)
    attended = active + rms(F.linear(mixed, attention.o_proj.weight), layer.post_attention_layernorm.weight)
    joined = (attended + laurel) * (1 / math.sqrt(2))

    x = rms(joined, layer.pre_feedforward_layernorm.weight)
    gate = F.linear(x, layer.mlp.gate_proj.weight[:width])
    if sparse:
        mean = gate.mean(-1, keepdim=True)
        deviation = (gate - mean).square().mean(-1, keepdim=True).sqrt()
        gate = F.relu(gate - (mean + deviation * SPARSE_CUTOFF))
    hidden = F.gelu(gate, approximate="tanh") * F.linear(x, layer.mlp.up_proj.weight[:width])
    out = joined + rms(F.linear(hidden, layer.mlp.down_proj.weight[:, :width]), layer.post_feedforward_layernorm.weight)

    innovation = out - active
    mixing = torch.tanh(F.linear(rms(out, altup.router_norm.weight) * (1.0 / WIDTH), altup.modality_router.weight))
    coefficients = F.linear(mixing, altup.correction_coefs.weight) + 1.0
    first = active + coefficients[..., :1] * innovation
    per_layer = F.gelu(F.linear(first * altup.correct_output_scale, layer.per_layer_input_gate.weight), approximate="tanh") * ple
    per_layer = rms(F.linear(per_layer, layer.per_layer_projection.weight), layer.post_per_layer_input_norm.weight)
    rest = predicted[:, :, 1:] + coefficients[..., 1:, None] * innovation[:, :, None] + per_layer[:, :, None]
    return torch.cat([first[:, :, None], rest], 2), keys_values


class Language:
    """The language model's forward over the library model's own parameters, for any submodel."""

    def __init__(self, whole):
        self.whole, self.text = whole, whole.model.language_model
        self.inverse = {kind: 1.0 / base ** (torch.arange(0, HEAD, 2) / HEAD) for kind, base in ROPE_BASE.items()}

    def embed(self, ids):
        """Embeddings of `ids` [batch, rows] as [batch, rows, width], and the one of audio padding [width].

        The ids of the media's ends go through the towers' embedders; soft tokens are filled in by the caller.
        """
        media = self.whole.model
        e = F.embedding(ids.clamp(max=TEXT_IDS - 1), self.text.embed_tokens.weight) * WIDTH**0.5
        vision = media.embed_vision(input_ids=torch.tensor([END_IMAGE]))
        audio = media.embed_audio(input_ids=torch.tensor([END_AUDIO, AUDIO_PAD]))
        e = torch.where((ids == END_IMAGE).unsqueeze(-1), vision[0], e)
        return torch.where((ids == END_AUDIO).unsqueeze(-1), audio[0], e), audio[1]

    def hidden(self, ids, embedded, positions, rows, submodel=WHOLE):
        """Final hidden states [batch, wanted, width] of the wanted `rows` [batch, wanted].

        The layers that borrow keys and values run for those rows only: nothing else reads what they compute.
        """
        kept, ffn = submodel
        batch, length = ids.shape
        table = F.embedding(torch.where(ids < TEXT_IDS, ids, 0), self.text.embed_tokens_per_layer.weight)
        projected = (self.text.per_layer_model_projection(embedded) * WIDTH**-0.5).view(batch, length, LAYERS, PLE)
        ple = rms(projected, self.text.per_layer_projection_norm.weight) + table.view(batch, length, LAYERS, PLE) * PLE**0.5
        ple = ple * (1 / math.sqrt(2))
        distance = positions[:, :, None] - positions[:, None, :]
        causal = torch.ones(length, length, dtype=torch.bool).tril()[None]
        bias, rotation = {}, {}
        for kind, inverse in self.inverse.items():
            seen = causal & (distance < WINDOW) if kind == "sliding_attention" else causal.expand(batch, length, length)
            bias[kind] = torch.zeros(batch, length, length).masked_fill_(~seen, -1e30)[:, None, None]
            angle = positions[..., None].float() * inverse
            rotation[kind] = (angle.cos()[:, :, None], angle.sin()[:, :, None])
        magnitude = embedded.square().mean(-1, keepdim=True).sqrt()
        streams = torch.stack([embedded] + [_as_loud_as(p(embedded), magnitude) for p in self.text.altup_projections], 2)
        shared, narrowed = {}, False
        pick = torch.arange(batch)[:, None]
        for i in kept:
            kind, own = KINDS[i], i < OWN_KV
            if not own and not narrowed:
                narrowed = True
                streams, ple = streams[pick, rows], ple[pick, rows]
                bias = {k: b[:, 0, 0][pick, rows][:, None, None] for k, b in bias.items()}
                rotation = {k: (cos[pick, rows], sin[pick, rows]) for k, (cos, sin) in rotation.items()}
            streams, used = _layer(self.text.layers[i], streams, ple[:, :, i], rotation[kind], bias[kind],
                                   None if own else shared[kind], ffn[i], SPARSITY[i] > 0)
            if own:
                shared[kind] = used
        magnitude = streams[:, :, 0].square().mean(-1, keepdim=True).sqrt()
        out = streams[:, :, 0]
        for j, projection in enumerate(self.text.altup_unembed_projections):
            out = out + _as_loud_as(projection(streams[:, :, j + 1]), magnitude)
        return rms(out / 4, self.text.norm.weight)

    def logits(self, hidden):
        return 30.0 * torch.tanh(F.linear(hidden, self.text.embed_tokens.weight) / 30.0)


def hear(whole, mel, padding):
    """The audio tower on `mel` [batch, frames, 128]; `padding` is True where there is no sound.

    Returns its 40 ms frames (for CTC) with their padding, and the soft tokens' inputs (every fourth frame) with theirs.
    """
    tower = whole.model.audio_tower
    x = tower.subsample_conv_projection(mel)
    at = (torch.arange(x.shape[1]) * 4).clamp(max=padding.shape[1] - 1)
    mask = padding[:, at]
    for block in tower.conformer:
        x = block(x, mask)
    soft, soft_mask = x[:, ::4], mask[:, ::4]
    return x, mask, soft.masked_fill(soft_mask.unsqueeze(-1), 0.0), soft_mask


def see(whole, pixels):
    """The vision tower and its embedder: `pixels` [batch, 3, 128, 128] in 0..1 -> [batch, 16, width]."""
    return whole.model.get_image_features(pixels, return_dict=True).pooler_output


@torch.no_grad()
def _compare_with_library():
    made = new_model(3).eval()
    language = Language(made)
    rng = torch.Generator().manual_seed(1)
    ids = torch.randint(10, TEXT_IDS - 2, (2, 40), generator=rng)
    want = made(input_ids=ids).logits
    embedded, _ = language.embed(ids)
    positions = torch.arange(40).expand(2, 40)
    got = language.logits(language.hidden(ids, embedded, positions, positions))
    print("largest difference of the logits, every row:", float((want - got).abs().max()))
    rows = torch.tensor([[5, 39], [17, 20]])
    some = language.logits(language.hidden(ids, embedded, positions, rows))
    print("wanted rows only:", float((want[torch.arange(2)[:, None], rows] - some).abs().max()))


if __name__ == "__main__":
    _compare_with_library()

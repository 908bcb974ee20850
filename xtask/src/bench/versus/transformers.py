"""Times a model with Hugging Face transformers on PyTorch's CPU backend, in bfloat16.

Arguments: the model's folder, and the number of threads. Reads a request a line, JSON, and answers each with a line:
{"context", "chunk", "generate", "batches"} -> [{"pl": batch, "speed_pp": tokens/s, "speed_tg": tokens/s}, ...]
{"logprobs_of": token ids} -> [logprob of each token but the first]

Prefill uses the dynamic cache, decode the static one: the faster choice for each (a dynamic cache is copied at every step).
"""

import json
import sys
import time
import warnings

warnings.simplefilter("ignore")

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache, StaticCache

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(int(sys.argv[2]))
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16, attn_implementation="sdpa").eval()


def prefill(context, chunk):
    """A cache with `context` tokens, computed in steps of at most `chunk`."""
    tokens = torch.arange(context).unsqueeze(0) * 37 % model.config.vocab_size
    cache = DynamicCache(config=model.config)
    for part in tokens.split(chunk, dim=1):
        model(input_ids=part, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache


def copies(cache, batch, room):
    """The cache once for each sequence, with room for more tokens."""
    many = StaticCache(config=model.config, max_cache_len=cache.get_seq_length() + room)
    for index, layer in enumerate(cache.layers):
        many.update(layer.keys.repeat(batch, 1, 1, 1), layer.values.repeat(batch, 1, 1, 1), index)
    return many


def decode(cache, batch, steps):
    """Greedy tokens; seconds that they took."""
    tokens = torch.arange(batch).unsqueeze(1)
    start = time.perf_counter()
    for _ in range(steps):
        logits = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        tokens = logits[:, -1].argmax(-1, keepdim=True)
    return time.perf_counter() - start


def times(context, chunk, generate, batches):
    start = time.perf_counter()
    cache = prefill(context, chunk)
    speed_pp = context / (time.perf_counter() - start)
    passes = []
    for batch in batches:
        seconds = decode(copies(cache, batch, generate), batch, generate)
        passes.append({"pl": batch, "speed_pp": speed_pp, "speed_tg": batch * generate / seconds})
    return passes


def logprobs(tokens):
    tokens = torch.tensor(tokens)
    scores = torch.log_softmax(model(input_ids=tokens.unsqueeze(0)).logits[0].float(), -1)
    return scores[:-1].gather(1, tokens[1:].unsqueeze(1)).squeeze(1).tolist()


with torch.inference_mode():
    # The first passes load and choose kernels.
    decode(copies(prefill(64, 64), 1, 2), 1, 2)
    capability = torch.backends.cpu.get_cpu_capability()
    print(json.dumps({"version": f"{transformers.__version__}, torch {torch.__version__} ({capability})"}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = logprobs(request["logprobs_of"]) if "logprobs_of" in request else times(**request)
        print(json.dumps(answer), flush=True)

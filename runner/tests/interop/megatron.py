"""Megatron-LM's own client and coordinator, unchanged, from a wheel of megatron-core; of torch they need only names.

usage: megatron.py client WHEEL ENDPOINT stop|shutdown     its InferenceClient through everything that it can say, at `goldlap serve`
       megatron.py coordinator WHEEL NUM_RANKS             its coordinator (0.19), with its client, over ranks of ours that join
Exits with 0 iff everything was as it should be. The coordinator's endpoint is printed first.
"""

import asyncio
import dataclasses
import importlib.abc
import importlib.machinery
import inspect
import sys
import threading
import types
import typing
import warnings


class Name(type(typing.Protocol)):
    """Stands for whatever is asked of torch: it can be called, subclassed, used as a decorator and in annotations."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Name(name, (), {})

    def __call__(cls, *arguments, **named):
        if len(arguments) == 1 and not named and callable(arguments[0]):
            return arguments[0]
        return Name("called", (), {})

    def __or__(cls, other):
        return cls

    __ror__ = __or__

    def __getitem__(cls, _):
        return cls


class Tensor(list):
    """What a client gets for a list of tokens."""

    def tolist(self):
        return list(self)


class Torch(types.ModuleType):
    __version__ = "2.8.0"
    __path__ = []
    Tensor = Tensor

    @staticmethod
    def tensor(values, **_named):
        return Tensor(values)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Name(name, (), {})


class Controller:
    @staticmethod
    def detokenize(_tokenizer, tokens, **_named):
        return " ".join(map(str, tokens))


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """torch and all below it; packages of Megatron without what their `__init__` imports."""

    BARE = {"megatron", "megatron.core", "megatron.core.inference"}
    # It needs CUDA; the coordinator takes one function from it.
    CONTROLLER = "megatron.core.inference.text_generation_controllers"

    def __init__(self, wheel):
        self.wheel = wheel

    def find_spec(self, name, _path, _target=None):
        if name.split(".")[0] == "torch" or name in self.BARE or name.startswith(self.CONTROLLER):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        if spec.name in self.BARE:
            module = types.ModuleType(spec.name)
            module.__path__ = [f"{self.wheel}/{spec.name.replace('.', '/')}"]
            return module
        if spec.name.startswith(self.CONTROLLER):
            module = types.ModuleType(spec.name)
            module.TextGenerationController = Controller
            return module
        return Torch(spec.name)

    def exec_module(self, _module):
        pass


def load(wheel):
    sys.path.insert(0, wheel)
    sys.meta_path.insert(0, Finder(wheel))
    warnings.simplefilter("ignore")
    # It and the module that the client begins with import each other, which works from this side only.
    import megatron.core.parallel_state  # noqa: F401


class Client:
    """Megatron's client of whatever release; `latest` replies are records or dictionaries, as it was made."""

    def __init__(self, endpoint, deserialize):
        from megatron.core.inference.inference_client import InferenceClient

        # 0.16 knows only records, which hold one request each.
        self.is_oldest = "deserialize" not in inspect.signature(InferenceClient.__init__).parameters
        named = {} if self.is_oldest else {"deserialize": deserialize}
        self.is_record = self.is_oldest or deserialize
        self.inner = InferenceClient(endpoint, **named)

    async def start(self):
        begun = self.inner.start()
        if begun is not None:
            await begun

    def submit(self, prompt, **sampling):
        from megatron.core.inference.sampling_params import SamplingParams

        known = {field.name for field in dataclasses.fields(SamplingParams)}
        given = {"num_tokens_to_generate": 4, "top_k": 1, "termination_id": -1, "return_prompt_tokens": True, **sampling}
        params = SamplingParams(**{k: v for k, v in given.items() if k in known})
        later = {k: v for k, v in sampling.items() if k not in known}
        if later and hasattr(params, "add_attributes"):
            params.add_attributes(later)
        return self.inner.add_request(prompt, params)

    async def reply(self, future):
        """The reply as a dictionary. Records came through the client's own deserialize, and know their fields."""
        reply = await asyncio.wait_for(future, 30)
        if self.is_oldest:
            reply = reply.merge()
        if not self.is_record:
            return reply
        fields = dict(vars(reply))
        fields["status"] = fields["status"].name
        return fields

    async def ask(self, prompt, **sampling):
        return await self.reply(self.submit(prompt, **sampling))

    async def signal(self, name, *arguments):
        acknowledged = getattr(self.inner, name)(*arguments)
        if acknowledged is not None:
            await asyncio.wait_for(acknowledged, 20)


async def requests(client):
    """Text and tokens, many at once, everything that can be asked for; a request that cannot be served."""
    text = await client.ask("Once upon a time", return_log_probs=True)
    assert text["status"] == "COMPLETED", text["status"]
    assert text["generated_length"] == len(text["generated_tokens"]) == len(text["generated_log_probs"]) == 4, text
    assert isinstance(text["generated_text"], str) and text["latency"] > 0
    told = text["prompt_tokens"]
    tokens = [1001, 1002, 1003] if told is None else list(told[1] if told[0] == "tensor" else told)
    assert all(type(token) is int for token in tokens), tokens
    if told is not None:
        assert len(text["prompt_log_probs"]) == len(tokens) - 1
        assert (await client.ask(tokens))["generated_tokens"] == text["generated_tokens"]
    alternatives = await client.ask(tokens, return_log_probs=True, top_n_logprobs=3)
    assert [len(place) for place in alternatives["generated_top_n_logprobs"]] == [3] * 4, alternatives
    first = await client.ask(tokens)
    futures = [client.submit(tokens, num_tokens_to_generate=1 + n % 5) for n in range(40)]
    for n, future in enumerate(futures):
        generated = (await client.reply(future))["generated_tokens"]
        assert len(generated) == 1 + n % 5 and generated[:4] == first["generated_tokens"][: 1 + n % 5]
    refused = await client.ask(tokens, num_tokens_to_generate=-1)
    assert refused["status"] == "FAILED", refused["status"]
    return tokens


async def signals(client, tokens):
    """Whatever it can say to engines; a paused engine answers later."""
    for name, arguments in [("set_generation_epoch", [7]), ("start_cuda_profiler", []), ("stop_cuda_profiler", [])]:
        if hasattr(client.inner, name):
            await client.signal(name, *arguments)
    assert (await client.ask(tokens))["status"] == "COMPLETED"
    for suspends in (False, True):
        await client.signal("pause_engines")
        if suspends:
            await client.signal("suspend_engines")
        await asyncio.sleep(0.2)
        waiting = client.submit(tokens)
        await asyncio.sleep(0.4)
        assert not waiting.done(), "answered while paused"
        if suspends:
            await client.signal("resume_engines")
        if not (suspends and client.is_oldest):  # whose resume_engines says UNPAUSE, too
            await client.signal("unpause_engines")
        assert (await client.reply(waiting))["status"] == "COMPLETED"


async def drive(endpoint, end):
    clients = [Client(endpoint, deserialize) for deserialize in (False, True)]
    for client in clients:
        await client.start()
        await signals(client, await requests(client))
    last = clients[-1]
    if end == "shutdown":
        await last.signal("shutdown_coordinator")
    elif end == "both":
        # Its SamplingParams have no such field, but pass on what is there; its coordinator ends of a streamed reply.
        asked = await last.ask([1001, 1002], streaming=True, streaming_interval=1)
        assert asked["status"] == "COMPLETED" and asked["generated_length"] == 4, asked
        await last.signal("pause_engines")
        pending = [client.submit([1001, n]) for client in clients for n in range(4)]
        await last.signal("stop_engines")
        for n, future in enumerate(pending):
            assert (await clients[n // 4].reply(future))["status"] == "FAILED", "work that STOP ends is answered"
        await last.signal("shutdown_coordinator")
    else:
        await last.signal("pause_engines")
        pending = last.submit([1001, 1002])
        await last.signal("stop_engines")
        if not last.is_oldest:  # it closes the door behind STOP_ACK
            assert (await last.reply(pending))["status"] == "FAILED", "work that STOP ends is answered"
    await asyncio.sleep(0.3)
    for client in clients:
        client.inner.stop()


class Pipe:
    """The parent's end, which is here, too."""

    def send(self, endpoint):
        self.endpoint = endpoint
        print(endpoint, flush=True)

    def close(self):
        pass


def coordinate(num_ranks):
    from megatron.core.inference.data_parallel_inference_coordinator import DataParallelInferenceCoordinator

    pipe = Pipe()
    coordinator = DataParallelInferenceCoordinator(
        pipe, int(num_ranks), tokenizer=None, max_requests=64, hostname="127.0.0.1"
    )
    thread = threading.Thread(target=coordinator.start, daemon=True)
    thread.start()
    asyncio.run(drive(pipe.endpoint, "both"))
    thread.join(20)
    assert not thread.is_alive(), "the coordinator did not end at SHUTDOWN"


def main():
    what, wheel, *rest = sys.argv[1:]
    load(wheel)
    if what == "client":
        asyncio.run(drive(*rest))
    else:
        coordinate(*rest)


main()

"""A client of the coordinator protocol, written from the protocol alone: pyzmq and msgpack, nothing of Goldlap's.

usage: peer.py SCENARIO ENDPOINT. Exits with 0 iff everything was as the scenario says.
"""

import sys
import time

import msgpack
import zmq

CURRENT = {
    "CONNECT": 0, "ACK": 1, "SUBMIT": 20, "REPLY": 21, "PARTIAL": 22, "ABORT": 23, "PAUSE": 40, "UNPAUSE": 41,
    "SUSPEND": 42, "RESUME": 43, "EPOCH": 44, "STOP": 45, "SHUTDOWN": 61,
}
V0_17 = {
    "CONNECT": 1, "ACK": 2, "SUBMIT": 3, "REPLY": 4, "PAUSE": 5, "UNPAUSE": 6, "SUSPEND": 7, "RESUME": 8,
    "EPOCH": 9, "STOP": 10, "SHUTDOWN": 12,
}
V0_16 = {
    "CONNECT": 1, "ACK": 2, "SUBMIT": 3, "REPLY": 4, "PAUSE": 5, "PAUSE_ACK": 6, "UNPAUSE": 7, "SUSPEND": 8,
    "RESUME": 9, "STOP": 10, "STOP_ACK": 11,
}

V0_18 = dict(V0_17, TP_BROADCAST=13)
# As HEAD, but SUBMIT has four elements, and it neither streams nor aborts.
V0_19 = {name: number for name, number in CURRENT.items() if name not in ("PARTIAL", "ABORT")}

# What clients from 0.17 to HEAD all know. A client that deserialises dies of any other key.
SAFE = set(
    "request_id status sampling_params inference_parameters prompt prompt_tokens generated_text generated_tokens "
    "generated_length prompt_log_probs generated_log_probs prompt_top_n_logprobs generated_top_n_logprobs ttft tpot "
    "latency events routing_indices".split()
)
# Fields of HEAD's request record; what older releases lack of them.
HEAD_FIELDS = SAFE | set(
    "prompt_length arrival_time encoder_prompt segments generated_segments generated_sequence_lengths uid "
    "remaining_prompt_tokens policy_epoch kv_cache_epoch finished_chunk_token_count stop_word_ids cg_wait_iters "
    "block_size_tokens enable_prefix_caching num_cached_tokens precomputed_block_hashes disaggregated_params".split()
)
NOT_IN_0_19 = {"uid", "disaggregated_params"}
NOT_IN_0_18 = NOT_IN_0_19 | {"prompt_length", "num_cached_tokens", "cg_wait_iters"}
MANDATORY = {"request_id", "sampling_params", "inference_parameters", "status"}


class Client:
    def __init__(self, endpoint, numbers=CURRENT):
        self.numbers = numbers
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.setsockopt(zmq.LINGER, 2000)
        self.socket.connect(endpoint)
        self.next_id = 0
        self.send("CONNECT")
        assert self.receive() == [numbers["ACK"]], "CONNECT_ACK"

    def send(self, header, *fields):
        self.socket.send(msgpack.packb([self.numbers[header], *fields], use_bin_type=True))

    def receive(self, seconds=20):
        if not self.socket.poll(int(seconds * 1000)):
            raise AssertionError(f"nothing came for {seconds} s")
        frames = self.socket.recv_multipart()
        assert len(frames) == 1, f"{len(frames)} frames"
        return msgpack.unpackb(frames[0], raw=False)

    def silent(self, seconds):
        return not self.socket.poll(int(seconds * 1000))

    def submit(self, prompt, **sampling):
        client_id = self.next_id
        self.next_id += 1
        sampling.setdefault("num_tokens_to_generate", 4)
        sampling.setdefault("top_k", 1)
        sampling.setdefault("termination_id", -1)
        fields = [client_id, prompt, sampling]
        if self.numbers is CURRENT:
            fields.append(None)
        self.send("SUBMIT", *fields)
        return client_id

    def final(self):
        """The next final reply: client id and dictionary."""
        while True:
            message = self.receive()
            if message[0] == self.numbers.get("PARTIAL"):
                continue
            assert message[0] == self.numbers["REPLY"] and len(message) == 3, message
            if self.numbers is V0_16:
                record = message[2]
                assert set(record) == {"requests", "latency"}, set(record)
                return message[1], check(record["requests"][0])
            return message[1], check(message[2])

    def finals(self, n):
        return dict(self.final() for _ in range(n))

    def ask(self, prompt, **sampling):
        client_id = self.submit(prompt, **sampling)
        got, reply = self.final()
        assert got == client_id, (got, client_id)
        return reply


def check(reply):
    assert set(reply) <= SAFE, f"keys that a client may not know: {set(reply) - SAFE}"
    assert MANDATORY <= set(reply), f"missing: {MANDATORY - set(reply)}"
    assert isinstance(reply["generated_text"], str)
    assert reply["status"] in ("COMPLETED", "FAILED")
    return reply


def deserialize(reply, fields):
    """As a client with deserialize=True: a missing mandatory key or one that its release lacks ends the process."""
    for key in MANDATORY:
        reply[key]
    for key, value in reply.items():
        assert key in fields, f"AttributeError: {key}"
        if key == "prompt_tokens" and value is not None:
            kind, data = value
            assert kind == "tensor" and all(type(token) is int for token in data), value
        if key in ("generated_tokens", "events", "tpot") and value is not None:
            assert isinstance(value, list), (key, value)
    assert reply["status"] in ("COMPLETED", "FAILED") and isinstance(reply["sampling_params"], dict)
    return reply


def release(numbers, fields, stop):
    """One release's client with deserialize=True, through everything that it can say."""

    def scenario(endpoint):
        client = Client(endpoint, numbers)
        assert ("PARTIAL" in numbers) == (numbers is CURRENT)
        reply = deserialize(client.ask("Once upon a time", return_log_probs=True, return_prompt_tokens=True), fields)
        prompt = reply["prompt_tokens"][1] if reply["prompt_tokens"] else [1001, 1002, 1003]
        assert len(reply["generated_log_probs"]) == reply["generated_length"] == 4
        again = deserialize(client.ask(prompt), fields)
        assert again["generated_tokens"] == reply["generated_tokens"] or not reply["prompt_tokens"]
        refused = deserialize(client.ask(prompt, num_tokens_to_generate=-1), fields)
        assert refused["status"] == "FAILED"
        if "ABORT" in numbers:
            aborted = client.submit(prompt, num_tokens_to_generate=100_000, streaming=True)
            client.receive()
            client.send("ABORT", aborted)
            got, reply = client.final()
            assert got == aborted and deserialize(reply, fields)["status"] == "COMPLETED"
        client.send("EPOCH", 5)
        for signal in ("PAUSE", "SUSPEND", "RESUME"):
            client.send(signal)
        time.sleep(0.2)
        waiting = client.submit(prompt)
        assert client.silent(0.4), "paused"
        client.send("UNPAUSE")
        got, reply = client.final()
        assert got == waiting and deserialize(reply, fields)["status"] == "COMPLETED"
        if not stop:
            client.send("SHUTDOWN")
            return
        # STOP with work pending: the original never answers it.
        pending = client.submit(prompt, num_tokens_to_generate=100_000)
        client.send("PAUSE")
        client.send("STOP")
        got, reply = client.final()
        assert got == pending and deserialize(reply, fields)["status"] == "FAILED"

    return scenario


def current(endpoint):
    client = Client(endpoint)
    client.send("CONNECT")
    assert client.silent(0.3), "a second CONNECT gets no answer"

    # Text is tokenised by the coordinator; BOS goes before it iff asked for, and leading ones are stripped.
    text = client.ask("Once upon a time", return_prompt_tokens=True, return_log_probs=True)
    assert text["prompt"] == "Once upon a time"
    kind, prompt_tokens = text["prompt_tokens"]
    assert kind == "tensor" and len(text["prompt_log_probs"]) == len(prompt_tokens) - 1
    assert len(text["generated_tokens"]) == len(text["generated_log_probs"]) == text["generated_length"] == 4
    with_bos = client.ask("<s><s>Once upon a time", add_BOS=True, return_prompt_tokens=True)
    assert with_bos["prompt_tokens"][1] == [1] + prompt_tokens
    stripped = client.ask("<s>Once upon a time", return_prompt_tokens=True)
    assert stripped["prompt_tokens"][1] == prompt_tokens

    # The same prompt as tokens is the same request.
    tokens = client.ask(prompt_tokens)
    assert tokens["prompt"] is None and tokens["prompt_tokens"] is None
    assert tokens["generated_tokens"] == text["generated_tokens"]
    assert tokens["generated_text"] == text["generated_text"]

    # Many at once, all answered, each once.
    ids = {client.submit(prompt_tokens, num_tokens_to_generate=2 + i % 5) for i in range(40)}
    replies = client.finals(40)
    assert set(replies) == ids
    assert all(reply["generated_tokens"][:2] == text["generated_tokens"][:2] for reply in replies.values())

    streaming(client, prompt_tokens, text["generated_tokens"])
    lifecycle(client, prompt_tokens)

    # What cannot be served is answered, not fatal.
    refused = client.ask(prompt_tokens, num_tokens_to_generate=-1)
    assert refused["status"] == "FAILED" and refused["events"][0]["payload"]["message"], refused
    for garbage in (b"", b"\xc1", msgpack.packb([99]), msgpack.packb([1]), msgpack.packb("x")):
        client.socket.send(garbage)
    client.socket.send_multipart([b"a", b"b"])
    assert client.ask(prompt_tokens)["status"] == "COMPLETED"
    client.send("SHUTDOWN")


def streaming(client, prompt_tokens, expected):
    client_id = client.submit(prompt_tokens, streaming=True, return_log_probs=True)
    streamed, first = [], True
    while True:
        message = client.receive()
        assert message[1] == client_id
        if message[0] == client.numbers["REPLY"]:
            break
        assert message[0] == client.numbers["PARTIAL"], message
        partial = message[2]
        assert ("prompt_log_probs" in partial) == first, "prompt logprobs come with the first partial only"
        assert len(partial["new_log_probs"]) == len(partial["new_tokens"])
        streamed += partial["new_tokens"]
        first = False
    final = check(message[2])["generated_tokens"]
    assert not first and streamed == final[: len(streamed)] and final == expected

    client_id = client.submit(prompt_tokens, num_tokens_to_generate=100_000, streaming=True)
    client.receive()
    client.send("ABORT", client_id)
    got, reply = client.final()
    assert got == client_id and reply["status"] == "COMPLETED" and reply["generated_length"] < 200
    client.send("ABORT", 4711)  # nobody's: ignored


def lifecycle(client, prompt_tokens):
    client.send("UNPAUSE")  # no meaning while running: not fatal
    client.send("EPOCH", 7)
    client.send("PAUSE")
    client.send("PAUSE")  # again: ignored
    time.sleep(0.3)
    waiting = client.submit(prompt_tokens)
    assert client.silent(0.5), "a paused rank answers nothing"
    client.send("SUSPEND")
    client.send("RESUME")
    assert client.silent(0.3), "after RESUME it is still paused"
    client.send("UNPAUSE")
    got, reply = client.final()
    assert got == waiting and reply["status"] == "COMPLETED"


def stop(endpoint):
    client = Client(endpoint)
    client.ask([1001, 1002])
    client.submit([1001, 1002], num_tokens_to_generate=100_000)
    client.send("STOP")  # no meaning while running
    client.send("PAUSE")
    client.send("STOP")
    _, reply = client.final()
    assert reply["status"] == "FAILED", "a request that STOP drops is answered"


def older(endpoint):
    old, new = Client(endpoint, V0_17), Client(endpoint)
    expected = new.ask([1001, 1002, 1003])["generated_tokens"]
    assert old.ask([1001, 1002, 1003])["generated_tokens"] == expected
    assert old.ask("Once upon a time")["prompt"] == "Once upon a time"
    for signal in ("PAUSE", "SUSPEND", "RESUME"):
        old.send(signal)
    old.send("EPOCH", 3)
    time.sleep(0.3)
    waiting = old.submit([1001, 1002, 1003])
    assert old.silent(0.4)
    old.send("UNPAUSE")
    assert old.final()[0] == waiting
    # A bad message is not answered with something that the client does not know.
    old.socket.send(msgpack.packb([77]))
    assert old.silent(0.3)
    assert new.ask([1001, 1002, 1003])["generated_tokens"] == expected
    old.send("SHUTDOWN")


def oldest(endpoint):
    client = Client(endpoint, V0_16)
    assert client.ask([1001, 1002])["generated_length"] == 4
    client.send("PAUSE")
    assert client.receive() == [V0_16["PAUSE_ACK"]]
    waiting = client.submit([1001, 1002])
    assert client.silent(0.4)
    for signal in ("SUSPEND", "RESUME", "UNPAUSE"):
        client.send(signal)
    assert client.final()[0] == waiting
    client.send("PAUSE")
    assert client.receive() == [V0_16["PAUSE_ACK"]]
    client.send("STOP")
    assert client.receive() == [V0_16["STOP_ACK"]]


def vanish(endpoint):
    """Leaves without a word, with requests open; the service must go on for others."""
    client = Client(endpoint)
    for _ in range(8):
        client.submit([1001, 1002], num_tokens_to_generate=150, streaming=True)
    client.receive()
    client.socket.setsockopt(zmq.LINGER, 0)
    client.socket.close()
    other = Client(endpoint)
    assert other.ask([1001, 1002])["status"] == "COMPLETED"
    other.send("SHUTDOWN")


if __name__ == "__main__":
    releases = {
        "0.17": release(V0_17, HEAD_FIELDS - NOT_IN_0_18, stop=True),
        "0.18": release(V0_18, HEAD_FIELDS - NOT_IN_0_18, stop=False),
        "0.19": release(V0_19, HEAD_FIELDS - NOT_IN_0_19, stop=True),
        "head": release(CURRENT, HEAD_FIELDS, stop=False),
    }
    scenarios = releases | {"current": current, "stop": stop, "older": older, "oldest": oldest, "vanish": vanish}
    scenarios[sys.argv[1]](sys.argv[2])
    zmq.Context.instance().destroy(linger=2000)

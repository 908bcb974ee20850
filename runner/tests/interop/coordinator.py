"""A coordinator of the protocol as the original behaves: it ends of anything that it does not know.

usage: coordinator.py ranks NUM_RANKS    waits for ranks, drives them itself, stops them
       coordinator.py engine             answers clients as an engine would, until nobody has asked for 3 s
Prints its endpoint first. Exits with 0 iff everything was as the scenario says.
"""

import sys

import msgpack
import zmq

CONNECT, ACK, SUBMIT, REPLY, PARTIAL, ABORT, SUBMIT_WITH_KV = 0, 1, 20, 21, 22, 23, 24
PAUSE, UNPAUSE, STOP, DISCONNECT = 40, 41, 45, 60


class Router:
    def __init__(self):
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.LINGER, 2000)
        port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        print(f"tcp://127.0.0.1:{port}", flush=True)

    def receive(self, seconds=30):
        if not self.socket.poll(int(seconds * 1000)):
            return None
        frames = self.socket.recv_multipart()
        assert len(frames) == 2, f"{len(frames)} frames"
        identity, payload = frames
        return identity, (msgpack.unpackb(payload, raw=False) if payload else None)

    def send(self, identity, *message):
        self.socket.send_multipart([identity, msgpack.packb(list(message), use_bin_type=True)])


def ranks(num_ranks):
    router, known = Router(), set()
    while len(known) < num_ranks:
        identity, message = router.receive()
        assert message is None, f"the first message of a rank is empty, got {message}"
        assert identity.startswith(b"mp-coord-"), identity
        known.add(identity)
    identity = sorted(known)[0]
    sampling = {"num_tokens_to_generate": 3, "top_k": 1, "termination_id": -1, "return_log_probs": True}
    router.send(identity, SUBMIT, 0, "Once upon a time", dict(sampling, return_prompt_tokens=True), None)
    text = final(router, identity)
    assert text["prompt"] == "Once upon a time" and text["generated_text"] is None, text
    tokens = text["prompt_tokens"][1]
    # As 0.19's coordinator, in four elements: whatever the client asks for, a streamed reply would end it.
    router.send(identity, SUBMIT, 1, tokens, dict(sampling, streaming=True))
    assert final(router, identity)["generated_tokens"] == text["generated_tokens"]
    # As a later one, in five.
    router.send(identity, SUBMIT, 5, tokens, dict(sampling, streaming=True), None)
    streamed = []
    same = final(router, identity, streamed)
    assert same["generated_tokens"] == text["generated_tokens"] and streamed == same["generated_tokens"][:2], streamed
    router.send(identity, SUBMIT, 6, tokens, dict(sampling, num_tokens_to_generate=200), None)
    router.send(identity, ABORT, 6)
    assert final(router, identity)["generated_length"] < 200
    router.send(identity, SUBMIT_WITH_KV, 7, tokens, sampling, {}, [])
    assert final(router, identity, status="FAILED")["request_id"] == 7
    router.send(identity, SUBMIT, 9, tokens, dict(sampling, num_tokens_to_generate=-1), None)
    assert final(router, identity, status="FAILED")["request_id"] == 9
    router.send(identity, PAUSE)
    router.send(identity, SUBMIT, 2, tokens, sampling, None)
    assert router.receive(0.6) is None, "a paused rank is silent: it has no heartbeat for this coordinator"
    router.send(identity, UNPAUSE)
    assert final(router, identity)["request_id"] == 2
    open_at = {}
    for number, rank in enumerate(sorted(known)):
        router.send(rank, PAUSE)
        open_at[rank] = 20 + number
        router.send(rank, SUBMIT, open_at[rank], "Once upon a time", sampling, None)
        router.send(rank, STOP)
    gone = set()
    while gone != known:
        rank, message = router.receive()
        if message[0] == REPLY:
            # What STOP cuts short; once it has taken its leave, a rank is nobody whose answer 0.19's coordinator takes.
            [reply] = message[1]
            assert rank not in gone and reply["request_id"] == open_at.pop(rank) and reply["status"] == "FAILED"
            assert reply["prompt"] == "Once upon a time", reply
            continue
        assert message == [DISCONNECT], message
        assert rank not in open_at, "STOP left a request without an answer"
        gone.add(rank)
    assert router.receive(0.3) is None, "nothing comes after the farewell"


def final(router, rank, streamed=None, status="COMPLETED"):
    while True:
        identity, message = router.receive()
        assert identity == rank and message[0] in ((REPLY,) if streamed is None else (REPLY, PARTIAL)), message
        if message[0] == REPLY:
            [reply] = message[1]
            assert reply["status"] == status, reply
            assert not {"num_evictions", "num_cached_tokens"} & set(reply), "clients of 0.17 and 0.18 end of them"
            return reply
        for partial in message[1]:
            streamed.extend(partial["new_tokens"])


def engine():
    """Both the coordinator and its engine: what it generates after n prompt tokens is n, n+1, ..."""
    router, next_id, clients = Router(), 0, set()
    while True:
        received = router.receive(30 if not clients else 3)
        if received is None:
            return
        client, message = received
        if message == [CONNECT]:
            clients.add(client)
            router.send(client, ACK)
            continue
        # The coordinator of 0.19 ends of a fifth element; later ones take four, too.
        assert client in clients and message[0] == SUBMIT and len(message) == 4, message
        _, client_id, prompt, sampling = message
        new = [1000 + len(prompt) + i for i in range(sampling["num_tokens_to_generate"])]
        if sampling["streaming"]:
            router.send(client, PARTIAL, client_id, {"request_id": next_id, "new_tokens": new[:1]})
        router.send(client, REPLY, client_id, reply(next_id, sampling, new))
        next_id += 1


def reply(request_id, sampling, new):
    return {
        "request_id": request_id, "prompt": None, "sampling_params": sampling, "inference_parameters": None,
        "prompt_tokens": None, "status": "COMPLETED", "generated_text": " ".join(map(str, new)),
        "generated_tokens": new, "prompt_log_probs": None, "generated_log_probs": None,
        "prompt_top_n_logprobs": None, "generated_top_n_logprobs": None, "generated_length": len(new), "tpot": [],
        "uid": "chatcmpl-0", "latency": None, "ttft": 0.1, "events": [], "routing_indices": None,
    }


if __name__ == "__main__":
    ranks(int(sys.argv[2])) if sys.argv[1] == "ranks" else engine()
    zmq.Context.instance().destroy(linger=2000)

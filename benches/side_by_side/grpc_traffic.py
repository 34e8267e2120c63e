"""The gRPC load: a server and a client of grpcio, with messages encoded by hand.

    grpc_traffic.py serve PORT
    grpc_traffic.py call PORT CALLS SEED
"""

import random
import sys
from concurrent import futures

import grpc

SERVICE = "shop.v1.Orders"
# Calls on one connection, then a new one.
CALLS_PER_CHANNEL = 250
CLIENTS = 4


def text(number, value):
    """A field of protobuf, length-delimited."""
    return bytes([number << 3 | 2, len(value)]) + value


def get(message, context):
    if len(message) % 20 == 0:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such order")
    return text(1, message[2:34]) + text(2, b"paid")


def follow(message, context):
    for number in range(5):
        yield text(1, b"step %d" % number)


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    methods = {"Get": grpc.unary_unary_rpc_method_handler(get), "Follow": grpc.unary_stream_rpc_method_handler(follow)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def call(port, calls, seed):
    rng = random.Random(seed)
    while calls > 0:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            one = channel.unary_unary(f"/{SERVICE}/Get")
            many = channel.unary_stream(f"/{SERVICE}/Follow")
            for _ in range(min(calls, CALLS_PER_CHANNEL)):
                message = text(1, rng.randbytes(rng.randrange(8, 100)))
                metadata = [("x-request-id", f"{rng.randrange(2**32):08x}")]
                try:
                    if rng.random() < 0.2:
                        list(many(message, metadata=metadata))
                    else:
                        one(message, metadata=metadata)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.NOT_FOUND:
                        raise
        calls -= CALLS_PER_CHANNEL


def main():
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
        return
    port, calls, seed = map(int, sys.argv[2:5])
    with futures.ThreadPoolExecutor(CLIENTS) as pool:
        done = [pool.submit(call, port, calls // CLIENTS, seed + number) for number in range(CLIENTS)]
        for future in done:
            future.result()


if __name__ == "__main__":
    main()

"""A gRPC server and client: three calls that end well and one that is refused. Argument: the port."""
import concurrent.futures
import sys

import grpc


def whole(request, context):
    if request == b"none":
        context.abort(grpc.StatusCode.NOT_FOUND, "there is none")
    return b"got " + request


def parts(request, context):
    for number in range(3):
        yield b"%d" % number


class Shop(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/live.Shop/Get":
            return grpc.unary_unary_rpc_method_handler(whole)
        return grpc.unary_stream_rpc_method_handler(parts)


port = int(sys.argv[1])
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((Shop(),))
server.add_insecure_port(f"127.0.0.1:{port}")
server.start()
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    get = channel.unary_unary("/live.Shop/Get")
    assert get(b"one") == b"got one"
    assert get(b"two") == b"got two"
    assert len(list(channel.unary_stream("/live.Shop/List")(b"all"))) == 3
    try:
        get(b"none")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND
server.stop(0)

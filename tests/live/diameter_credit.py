"""A Diameter server and client: three credit-control requests, the last one refused. Argument: the port."""
import logging
import sys

from diameter.message import Message
from diameter.message.commands.credit_control import CreditControlRequest
from diameter.message.constants import (
    APP_DIAMETER_CREDIT_CONTROL_APPLICATION as CREDIT_CONTROL,
    E_CC_REQUEST_TYPE_EVENT_REQUEST,
    E_RESULT_CODE_DIAMETER_CREDIT_LIMIT_REACHED,
    E_RESULT_CODE_DIAMETER_SUCCESS,
)
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication

logging.disable(logging.CRITICAL)


def answer(application, request):
    reply = application.generate_answer(request)
    limit = request.cc_request_number == 3
    reply.result_code = (
        E_RESULT_CODE_DIAMETER_CREDIT_LIMIT_REACHED if limit else E_RESULT_CODE_DIAMETER_SUCCESS
    )
    reply.cc_request_type = request.cc_request_type
    reply.cc_request_number = request.cc_request_number
    return reply


port = int(sys.argv[1])
server = Node("server.example", "example", ip_addresses=["127.0.0.1"], tcp_port=port)
server.idle_timeout = 60
caller = server.add_peer("aaa://client.example:1", "example")
server.add_application(
    SimpleThreadingApplication(CREDIT_CONTROL, is_auth_application=True, request_handler=answer),
    [caller],
)
client = Node("client.example", "example")
peer = client.add_peer(
    f"aaa://server.example:{port}", "example", ip_addresses=["127.0.0.1"], is_persistent=True
)
application = SimpleThreadingApplication(CREDIT_CONTROL, is_auth_application=True)
client.add_application(application, [peer])
server.start()
client.start()
application.wait_for_ready()
results = []
for number in (1, 2, 3):
    request = CreditControlRequest()
    request.session_id = client.session_generator.next_id()
    request.origin_host = client.origin_host.encode()
    request.origin_realm = client.realm_name.encode()
    request.destination_realm = b"example"
    request.auth_application_id = CREDIT_CONTROL
    request.service_context_id = "shop@example"
    request.cc_request_type = E_CC_REQUEST_TYPE_EVENT_REQUEST
    request.cc_request_number = number
    results.append(application.send_request(request, timeout=10).result_code)
client.stop()
server.stop()
assert results == [2001, 2001, 4012], results

"""A GraphQL shop of Strawberry under uvicorn, and the calls of a client of gql: a query with variables, a
mutation, and a query of a field that is not there. The argument is the port."""
import sys
import threading
import time

import gql
import strawberry
import uvicorn
from gql.transport.exceptions import TransportQueryError
from gql.transport.requests import RequestsHTTPTransport
from strawberry.asgi import GraphQL


@strawberry.type
class Query:
    @strawberry.field
    def price(self, item: str) -> int:
        return len(item)


@strawberry.type
class Mutation:
    @strawberry.mutation
    def order(self, item: str, count: int) -> str:
        return f"{count} {item}"


app = GraphQL(strawberry.Schema(query=Query, mutation=Mutation))
server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error"))
thread = threading.Thread(target=server.run)
thread.start()
while not server.started:
    assert thread.is_alive()
    time.sleep(0.02)
client = gql.Client(transport=RequestsHTTPTransport(url=f"http://127.0.0.1:{sys.argv[1]}/"))


def call(text, **values):
    query = gql.gql(text)
    query.variable_values = values
    return client.execute(query)


assert call("query Price($item: String!) { price(item: $item) }", item="tea") == {"price": 3}
assert call('mutation Order { order(item: "tea", count: 2) }') == {"order": "2 tea"}
try:
    call("query Weight { weight }")
    raise SystemExit("a field that is not there was found")
except TransportQueryError:
    pass
server.should_exit = True
thread.join()

"""A queue of RabbitMQ: two messages are published, one is taken, one is refused its queue."""
import sys

import pika

connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1])))
channel = connection.channel()
channel.queue_declare("orders")
for text in (b"first", b"second"):
    channel.basic_publish("", "orders", text)
method, _, body = channel.basic_get("orders")
assert body == b"first", body
channel.basic_ack(method.delivery_tag)
try:
    channel.queue_declare("none", passive=True)
    raise SystemExit("a queue that is not there was found")
except pika.exceptions.ChannelClosedByBroker:
    pass
connection.close()

"""librdkafka's mock cluster with a producer and a consumer: seven records go there and come back.

Writes the broker's port to the file that the first argument names, waits for the file of the second, and
writes one beside that when it is done.
"""
import os
import sys
import time

from confluent_kafka import Consumer, Producer

producer = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1})
broker = next(iter(producer.list_topics(timeout=10).brokers.values()))
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(broker.port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
while not os.path.exists(sys.argv[2]):
    time.sleep(0.02)
address = f"127.0.0.1:{broker.port}"
other = Producer({"bootstrap.servers": address})
for number in range(7):
    other.produce("orders", key=str(number), value=f"record {number}")
assert other.flush(20) == 0
consumer = Consumer({"bootstrap.servers": address, "group.id": "live", "auto.offset.reset": "earliest"})
consumer.subscribe(["orders"])
seen = 0
end = time.time() + 30
while seen < 7 and time.time() < end:
    message = consumer.poll(0.5)
    if message is not None and not message.error():
        seen += 1
consumer.close()
assert seen == 7, seen
open(sys.argv[2] + ".done", "w").close()
time.sleep(60)

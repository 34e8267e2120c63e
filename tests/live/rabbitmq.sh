# rabbitmq.sh FOLDER PORT PORT PORT: RabbitMQ on loopback, with a port mapper of its own, until it is told to end.
set -u
epmd -port "$3" -address 127.0.0.1 &
mapper=$!
env HOME="$1" ERL_EPMD_PORT="$3" RABBITMQ_NODENAME="live$2@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
  RABBITMQ_NODE_PORT="$2" RABBITMQ_DIST_PORT="$4" RABBITMQ_MNESIA_BASE="$1/data" RABBITMQ_LOG_BASE="$1/log" \
  RABBITMQ_CONFIG_FILE="$1/none" RABBITMQ_ENABLED_PLUGINS_FILE="$1/plugins" /usr/lib/rabbitmq/bin/rabbitmq-server &
server=$!
trap 'kill "$server"; wait "$server"; kill "$mapper"; exit' TERM
wait "$server"
kill "$mapper"

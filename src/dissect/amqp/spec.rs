//! The methods of AMQP 0-9-1 and the properties of a message, as one table.
//!
//! In: class and method identifiers. Out: names, arguments in wire order, and how a method is
//! answered. Never: bytes; those are `parser`'s. Source: `amqp0-9-1.xml` of the specification with
//! its errata, and RabbitMQ's extensions (`confirm`, `exchange.bind`, `basic.nack`,
//! `connection.blocked`, `connection.update-secret`, consumer cancel notifications).

use Kind::*;

/// What an argument or property is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One bit; bits in a row share octets, lowest first.
    Bit,
    /// Eight bits without sign.
    Octet,
    /// 16 bits without sign.
    Short,
    /// 32 bits without sign.
    Long,
    /// 64 bits without sign.
    LongLong,
    /// Seconds since 1970.
    Timestamp,
    /// Text of up to 255 octets.
    ShortStr,
    /// Text.
    LongStr,
    /// Names with values.
    Table,
    /// A `Short` that says how it went; items show it under two names.
    ReplyCode,
    /// A `LongStr` of the SASL mechanism, which may hold a password.
    Sasl,
    /// A `LongStr` that is a secret as a whole.
    Secret,
}

/// An argument of a method, or a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Argument {
    /// Name in items; empty for reserved ones, which are not shown.
    pub(super) name: &'static str,
    /// What it is on the wire.
    pub(super) kind: Kind,
}

/// How a method is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Not at all.
    OneWay,
    /// By one of these methods of the same class, unless `noWait` is set.
    Request(&'static [u16]),
    /// It is an answer.
    Reply,
}

/// One method.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Method {
    /// Identifier of its class.
    pub(super) class: u16,
    /// Identifier within the class.
    pub(super) id: u16,
    /// Class and method, as items show them.
    pub(super) name: &'static str,
    /// How it is answered.
    pub(super) form: Form,
    /// Whether a content header and a body follow.
    pub(super) content: bool,
    /// Its arguments, in wire order.
    pub(super) arguments: &'static [Argument],
    /// Arguments that say in a line what it is about.
    pub(super) summary: &'static [&'static str],
}

/// Class of messages; the only one that has contents.
pub(super) const BASIC: u16 = 60;
/// `connection.close`.
pub(super) const CONNECTION_CLOSE: (u16, u16) = (10, 50);
/// `channel.close`.
pub(super) const CHANNEL_CLOSE: (u16, u16) = (20, 40);

/// Stands for methods that are not in the table.
pub(super) static UNKNOWN: Method = Method {
    class: 0,
    id: 0,
    name: "",
    form: Form::OneWay,
    content: false,
    arguments: &[],
    summary: &[],
};

/// The method with these identifiers.
pub(super) fn find(class: u16, id: u16) -> Option<&'static Method> {
    METHODS
        .binary_search_by_key(&(class, id), |method| (method.class, method.id))
        .ok()
        .and_then(|index| METHODS.get(index))
}

/// The method that items call so.
#[cfg(test)]
pub(super) fn named(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

const RESERVED_SHORT: Argument = arg("", Short);
const RESERVED_STR: Argument = arg("", ShortStr);
const NO_WAIT: Argument = arg("noWait", Bit);
const ARGUMENTS: Argument = arg("arguments", Table);
const QUEUE: Argument = arg("queue", ShortStr);
const EXCHANGE: Argument = arg("exchange", ShortStr);
const ROUTING_KEY: Argument = arg("routingKey", ShortStr);
const CONSUMER_TAG: Argument = arg("consumerTag", ShortStr);
const DELIVERY_TAG: Argument = arg("deliveryTag", LongLong);
const MESSAGE_COUNT: Argument = arg("messageCount", Long);
const NO_ARGUMENTS: &[Argument] = &[];
const CLOSE: &[Argument] = &[
    arg("replyCode", ReplyCode),
    arg("replyText", ShortStr),
    arg("classId", Short),
    arg("methodId", Short),
];
const TUNE: &[Argument] = &[
    arg("channelMax", Short),
    arg("frameMax", Long),
    arg("heartbeat", Short),
];
const EXCHANGE_BIND: &[Argument] = &[
    RESERVED_SHORT,
    arg("destination", ShortStr),
    arg("source", ShortStr),
    ROUTING_KEY,
    NO_WAIT,
    ARGUMENTS,
];

/// Every method, by class and identifier.
#[rustfmt::skip]
static METHODS: &[Method] = &[
    // Connection
    request(10, 10, "connection start", &[11], &[
        arg("versionMajor", Octet), arg("versionMinor", Octet), arg("serverProperties", Table),
        arg("mechanisms", LongStr), arg("locales", LongStr),
    ], &["mechanisms"]),
    reply(10, 11, "connection start-ok", &[
        arg("clientProperties", Table), arg("mechanism", ShortStr), arg("response", Sasl),
        arg("locale", ShortStr),
    ]),
    request(10, 20, "connection secure", &[21], &[arg("challenge", LongStr)], &[]),
    reply(10, 21, "connection secure-ok", &[arg("response", Secret)]),
    request(10, 30, "connection tune", &[31], TUNE, &[]),
    reply(10, 31, "connection tune-ok", TUNE),
    request(10, 40, "connection open", &[41], &[
        arg("virtualHost", ShortStr), RESERVED_STR, arg("", Bit),
    ], &["virtualHost"]),
    reply(10, 41, "connection open-ok", &[RESERVED_STR]),
    request(10, 50, "connection close", &[51], CLOSE, &["replyCode", "replyText"]),
    reply(10, 51, "connection close-ok", NO_ARGUMENTS),
    one_way(10, 60, "connection blocked", &[arg("reason", ShortStr)], &["reason"]),
    one_way(10, 61, "connection unblocked", NO_ARGUMENTS, &[]),
    request(10, 70, "connection update-secret", &[71], &[
        arg("newSecret", Secret), arg("reason", ShortStr),
    ], &["reason"]),
    reply(10, 71, "connection update-secret-ok", NO_ARGUMENTS),
    // Channel
    request(20, 10, "channel open", &[11], &[RESERVED_STR], &[]),
    reply(20, 11, "channel open-ok", &[arg("", LongStr)]),
    request(20, 20, "channel flow", &[21], &[arg("active", Bit)], &["active"]),
    reply(20, 21, "channel flow-ok", &[arg("active", Bit)]),
    request(20, 40, "channel close", &[41], CLOSE, &["replyCode", "replyText"]),
    reply(20, 41, "channel close-ok", NO_ARGUMENTS),
    // Access (0-9; RabbitMQ still answers it)
    request(30, 10, "access request", &[11], &[
        arg("realm", ShortStr), arg("exclusive", Bit), arg("passive", Bit), arg("active", Bit),
        arg("write", Bit), arg("read", Bit),
    ], &["realm"]),
    reply(30, 11, "access request-ok", &[RESERVED_SHORT]),
    // Exchange
    request(40, 10, "exchange declare", &[11], &[
        RESERVED_SHORT, EXCHANGE, arg("type", ShortStr), arg("passive", Bit), arg("durable", Bit),
        arg("autoDelete", Bit), arg("internal", Bit), NO_WAIT, ARGUMENTS,
    ], &["exchange", "type"]),
    reply(40, 11, "exchange declare-ok", NO_ARGUMENTS),
    request(40, 20, "exchange delete", &[21], &[
        RESERVED_SHORT, EXCHANGE, arg("ifUnused", Bit), NO_WAIT,
    ], &["exchange"]),
    reply(40, 21, "exchange delete-ok", NO_ARGUMENTS),
    request(40, 30, "exchange bind", &[31], EXCHANGE_BIND, &["destination", "source", "routingKey"]),
    reply(40, 31, "exchange bind-ok", NO_ARGUMENTS),
    // The answer's 51, not 41, is no slip here: RabbitMQ chose it so.
    request(40, 40, "exchange unbind", &[51], EXCHANGE_BIND, &["destination", "source", "routingKey"]),
    reply(40, 51, "exchange unbind-ok", NO_ARGUMENTS),
    // Queue
    request(50, 10, "queue declare", &[11], &[
        RESERVED_SHORT, QUEUE, arg("passive", Bit), arg("durable", Bit), arg("exclusive", Bit),
        arg("autoDelete", Bit), NO_WAIT, ARGUMENTS,
    ], &["queue"]),
    reply(50, 11, "queue declare-ok", &[QUEUE, MESSAGE_COUNT, arg("consumerCount", Long)]),
    request(50, 20, "queue bind", &[21], &[
        RESERVED_SHORT, QUEUE, EXCHANGE, ROUTING_KEY, NO_WAIT, ARGUMENTS,
    ], &["queue", "exchange", "routingKey"]),
    reply(50, 21, "queue bind-ok", NO_ARGUMENTS),
    request(50, 30, "queue purge", &[31], &[RESERVED_SHORT, QUEUE, NO_WAIT], &["queue"]),
    reply(50, 31, "queue purge-ok", &[MESSAGE_COUNT]),
    request(50, 40, "queue delete", &[41], &[
        RESERVED_SHORT, QUEUE, arg("ifUnused", Bit), arg("ifEmpty", Bit), NO_WAIT,
    ], &["queue"]),
    reply(50, 41, "queue delete-ok", &[MESSAGE_COUNT]),
    request(50, 50, "queue unbind", &[51], &[
        RESERVED_SHORT, QUEUE, EXCHANGE, ROUTING_KEY, ARGUMENTS,
    ], &["queue", "exchange", "routingKey"]),
    reply(50, 51, "queue unbind-ok", NO_ARGUMENTS),
    // Basic
    request(60, 10, "basic qos", &[11], &[
        arg("prefetchSize", Long), arg("prefetchCount", Short), arg("global", Bit),
    ], &["prefetchCount"]),
    reply(60, 11, "basic qos-ok", NO_ARGUMENTS),
    request(60, 20, "basic consume", &[21], &[
        RESERVED_SHORT, QUEUE, CONSUMER_TAG, arg("noLocal", Bit), arg("noAck", Bit),
        arg("exclusive", Bit), NO_WAIT, ARGUMENTS,
    ], &["queue"]),
    reply(60, 21, "basic consume-ok", &[CONSUMER_TAG]),
    request(60, 30, "basic cancel", &[31], &[CONSUMER_TAG, NO_WAIT], &["consumerTag"]),
    reply(60, 31, "basic cancel-ok", &[CONSUMER_TAG]),
    message(60, 40, "basic publish", Form::OneWay, &[
        RESERVED_SHORT, EXCHANGE, ROUTING_KEY, arg("mandatory", Bit), arg("immediate", Bit),
    ]),
    message(60, 50, "basic return", Form::OneWay, &[
        arg("replyCode", ReplyCode), arg("replyText", ShortStr), EXCHANGE, ROUTING_KEY,
    ]),
    message(60, 60, "basic deliver", Form::OneWay, &[
        CONSUMER_TAG, DELIVERY_TAG, arg("redelivered", Bit), EXCHANGE, ROUTING_KEY,
    ]),
    request(60, 70, "basic get", &[71, 72], &[RESERVED_SHORT, QUEUE, arg("noAck", Bit)], &["queue"]),
    message(60, 71, "basic get-ok", Form::Reply, &[
        DELIVERY_TAG, arg("redelivered", Bit), EXCHANGE, ROUTING_KEY, MESSAGE_COUNT,
    ]),
    reply(60, 72, "basic get-empty", &[RESERVED_STR]),
    one_way(60, 80, "basic ack", &[DELIVERY_TAG, arg("multiple", Bit)], &["deliveryTag"]),
    one_way(60, 90, "basic reject", &[DELIVERY_TAG, arg("requeue", Bit)], &["deliveryTag"]),
    one_way(60, 100, "basic recover-async", &[arg("requeue", Bit)], &[]),
    request(60, 110, "basic recover", &[111], &[arg("requeue", Bit)], &[]),
    reply(60, 111, "basic recover-ok", NO_ARGUMENTS),
    one_way(60, 120, "basic nack", &[
        DELIVERY_TAG, arg("multiple", Bit), arg("requeue", Bit),
    ], &["deliveryTag"]),
    // Confirm
    request(85, 10, "confirm select", &[11], &[NO_WAIT], &[]),
    reply(85, 11, "confirm select-ok", NO_ARGUMENTS),
    // Tx
    request(90, 10, "tx select", &[11], NO_ARGUMENTS, &[]),
    reply(90, 11, "tx select-ok", NO_ARGUMENTS),
    request(90, 20, "tx commit", &[21], NO_ARGUMENTS, &[]),
    reply(90, 21, "tx commit-ok", NO_ARGUMENTS),
    request(90, 30, "tx rollback", &[31], NO_ARGUMENTS, &[]),
    reply(90, 31, "tx rollback-ok", NO_ARGUMENTS),
];

/// Properties of class basic, from the highest flag bit down.
pub(super) static PROPERTIES: &[Argument] = &[
    arg("contentType", ShortStr),
    arg("contentEncoding", ShortStr),
    arg("headers", Table),
    arg("deliveryMode", Octet),
    arg("priority", Octet),
    arg("correlationId", ShortStr),
    arg("replyTo", ShortStr),
    arg("expiration", ShortStr),
    arg("messageId", ShortStr),
    arg("timestamp", Timestamp),
    arg("type", ShortStr),
    arg("userId", ShortStr),
    arg("appId", ShortStr),
    arg("clusterId", ShortStr),
];

const fn arg(name: &'static str, kind: Kind) -> Argument {
    Argument { name, kind }
}

const fn method(
    (class, id): (u16, u16),
    name: &'static str,
    form: Form,
    arguments: &'static [Argument],
    summary: &'static [&'static str],
) -> Method {
    Method {
        class,
        id,
        name,
        form,
        content: false,
        arguments,
        summary,
    }
}

const fn request(
    class: u16,
    id: u16,
    name: &'static str,
    replies: &'static [u16],
    arguments: &'static [Argument],
    summary: &'static [&'static str],
) -> Method {
    method(
        (class, id),
        name,
        Form::Request(replies),
        arguments,
        summary,
    )
}

const fn reply(class: u16, id: u16, name: &'static str, arguments: &'static [Argument]) -> Method {
    method((class, id), name, Form::Reply, arguments, &[])
}

const fn one_way(
    class: u16,
    id: u16,
    name: &'static str,
    arguments: &'static [Argument],
    summary: &'static [&'static str],
) -> Method {
    method((class, id), name, Form::OneWay, arguments, summary)
}

/// A method that a content follows.
const fn message(
    class: u16,
    id: u16,
    name: &'static str,
    form: Form,
    arguments: &'static [Argument],
) -> Method {
    let mut message = method(
        (class, id),
        name,
        form,
        arguments,
        &["exchange", "routingKey"],
    );
    message.content = true;
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_reply_is_in_it() {
        assert!(
            METHODS
                .windows(2)
                .all(|pair| (pair[0].class, pair[0].id) < (pair[1].class, pair[1].id))
        );
        for method in METHODS {
            let Form::Request(replies) = method.form else {
                continue;
            };
            for id in replies {
                let reply = find(method.class, *id).expect(method.name);
                assert_eq!(reply.form, Form::Reply, "{}", reply.name);
            }
            for name in method.summary {
                assert!(
                    method.arguments.iter().any(|one| one.name == *name),
                    "{}: {name}",
                    method.name
                );
            }
        }
    }

    #[test]
    fn every_reply_answers_something() {
        for reply in METHODS.iter().filter(|one| one.form == Form::Reply) {
            assert!(
                METHODS.iter().any(|one| one.class == reply.class
                    && matches!(one.form, Form::Request(replies) if replies.contains(&reply.id))),
                "{}",
                reply.name
            );
        }
    }
}
